//! The `p2p-node` program: see [`p2p_node::cli`].

fn main() -> std::process::ExitCode {
    p2p_node::cli::main()
}
