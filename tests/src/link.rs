//! A UDP link between one node and everybody else: slow, lossy, late, or cut.
//!
//! It is what a home router is to the node behind it. The node behind listens on a loopback address of its own, which nobody
//! hands on, and dials the index at [`Link::index`]. Everybody else sees the link's outer socket and dials that; for each of
//! them the link has an inner socket, so that the node behind tells them apart.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::clock;

/// Bytes that wait in one direction; what comes then is lost, as in any router.
const QUEUE_BYTES: usize = 1 << 20;
/// Datagrams that do.
const QUEUE: usize = 4096;
/// The largest datagram.
const DATAGRAM_BYTES: usize = 65_536;
/// What is asked for the sockets' buffers.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// The link. It carries until it is dropped.
#[derive(Debug)]
pub struct Link {
    index: SocketAddr,
    outer: SocketAddr,
    inner_ip: Ipv4Addr,
    control: Arc<Control>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Control {
    cut: AtomicBool,
    /// Bytes a second in each direction; 0 for all that comes.
    rate: AtomicU64,
    delay_ms: AtomicU64,
    /// Of a thousand datagrams.
    loss: AtomicU32,
    random: Mutex<u64>,
    carried_out: AtomicU64,
}

/// One datagram under way.
struct Datagram {
    from: Arc<UdpSocket>,
    to: SocketAddr,
    bytes: Vec<u8>,
    came: Instant,
    _room: OwnedSemaphorePermit,
}

/// The end of a direction's queue.
struct Queue {
    datagrams: mpsc::Sender<Datagram>,
    room: Arc<Semaphore>,
}

/// What both directions share.
struct Shared {
    control: Arc<Control>,
    outer: Arc<UdpSocket>,
    /// The node behind, once it has dialled.
    behind: OnceLock<SocketAddr>,
    inner_ip: Ipv4Addr,
    inwards: Queue,
    outwards: Queue,
}

impl Link {
    /// A link before a node that is not started yet. `seed` decides which datagrams are lost.
    pub async fn new(ip: Ipv4Addr, index: SocketAddr, seed: u64) -> Self {
        eprintln!("link: seed {seed}");
        let [a, b, c, _] = ip.octets();
        let inner_ip = Ipv4Addr::new(a, b, c, 200);
        let control = Arc::new(Control {
            cut: AtomicBool::new(false),
            rate: AtomicU64::new(0),
            delay_ms: AtomicU64::new(0),
            loss: AtomicU32::new(0),
            random: Mutex::new(seed),
            carried_out: AtomicU64::new(0),
        });
        let (outer, to_index) = (bind(ip), bind(inner_ip));
        let ((inwards, to_behind), (outwards, to_others)) = (Queue::new(), Queue::new());
        let address = |socket: &UdpSocket| socket.local_addr().expect("bound");
        let (outer_address, index_address) = (address(&outer), address(&to_index));
        let shared = Arc::new(Shared {
            control: control.clone(),
            outer,
            behind: OnceLock::new(),
            inner_ip,
            inwards,
            outwards,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(control.clone(), to_behind));
        tasks.spawn(carry(control.clone(), to_others));
        tasks.spawn(run(shared, to_index, index));
        Self { index: index_address, outer: outer_address, inner_ip, control, _tasks: tasks }
    }

    /// What the node behind takes for the index's address.
    pub fn index(&self) -> SocketAddr {
        self.index
    }

    /// What everybody else takes for the address of the node behind.
    pub fn outer(&self) -> SocketAddr {
        self.outer
    }

    /// Where the node behind listens.
    pub fn inner_ip(&self) -> Ipv4Addr {
        self.inner_ip
    }

    /// So many bytes a second each way; 0 for no bound.
    pub fn set_rate(&self, bytes_per_second: u64) {
        self.control.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Everything takes so much longer, each way.
    pub fn set_delay(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).expect("a short delay");
        self.control.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// So many of a thousand datagrams are lost, each way.
    pub fn set_loss(&self, of_thousand: u32) {
        self.control.loss.store(of_thousand, Ordering::Relaxed);
    }

    /// Nothing passes any more, or everything again.
    pub fn set_cut(&self, cut: bool) {
        self.control.cut.store(cut, Ordering::Relaxed);
    }

    /// Bytes that the node behind has sent to everybody else.
    pub fn carried_out(&self) -> u64 {
        self.control.carried_out.load(Ordering::Relaxed)
    }
}

impl Control {
    fn loses(&self) -> bool {
        let loss = u64::from(self.loss.load(Ordering::Relaxed));
        self.cut.load(Ordering::Relaxed) || (loss > 0 && self.draw() % 1000 < loss)
    }

    /// SplitMix64.
    fn draw(&self) -> u64 {
        let mut state = self.random.lock().expect("no panic while it is held");
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

impl Queue {
    fn new() -> (Self, mpsc::Receiver<Datagram>) {
        let (datagrams, queue) = mpsc::channel(QUEUE);
        (Self { datagrams, room: Arc::new(Semaphore::new(QUEUE_BYTES)) }, queue)
    }
}

impl Shared {
    fn send(&self, queue: &Queue, from: &Arc<UdpSocket>, to: SocketAddr, bytes: &[u8]) {
        let room = queue.room.clone().try_acquire_many_owned(bytes.len() as u32);
        let Some(_room) = room.ok().filter(|_| !self.control.loses()) else { return };
        let came = clock::monotonic();
        let datagram = Datagram { from: from.clone(), to, bytes: bytes.to_vec(), came, _room };
        // A full queue loses what comes.
        let _ = queue.datagrams.try_send(datagram);
    }
}

/// Takes what everybody else sends; makes an inner socket for each of them.
async fn run(shared: Arc<Shared>, to_index: Arc<UdpSocket>, index: SocketAddr) {
    let mut inner = HashMap::from([(index, to_index.clone())]);
    let mut readers = JoinSet::new();
    readers.spawn(read_inner(shared.clone(), to_index, index));
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let Ok((length, from)) = shared.outer.recv_from(&mut buffer).await else { continue };
        let socket = inner.entry(from).or_insert_with(|| {
            let socket = bind(shared.inner_ip);
            readers.spawn(read_inner(shared.clone(), socket.clone(), from));
            socket
        });
        if let Some(behind) = shared.behind.get() {
            shared.send(&shared.inwards, socket, *behind, &buffer[..length]);
        }
    }
}

/// Takes what the node behind sends to one of the others.
async fn read_inner(shared: Arc<Shared>, socket: Arc<UdpSocket>, to: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let _ = shared.behind.set(from);
        shared.control.carried_out.fetch_add(length as u64, Ordering::Relaxed);
        shared.send(&shared.outwards, &shared.outer, to, &buffer[..length]);
    }
}

/// One direction: each datagram when its time has come.
async fn carry(control: Arc<Control>, mut queue: mpsc::Receiver<Datagram>) {
    let mut free_at = clock::monotonic();
    while let Some(datagram) = queue.recv().await {
        let delay = Duration::from_millis(control.delay_ms.load(Ordering::Relaxed));
        let mut due = datagram.came + delay;
        let rate = control.rate.load(Ordering::Relaxed);
        if rate > 0 {
            free_at = free_at.max(clock::monotonic());
            free_at += Duration::from_secs_f64(datagram.bytes.len() as f64 / rate as f64);
            due = due.max(free_at);
        }
        tokio::time::sleep_until(due.into()).await;
        if !control.cut.load(Ordering::Relaxed) {
            let _ = datagram.from.send_to(&datagram.bytes, datagram.to).await;
        }
    }
}

fn bind(ip: Ipv4Addr) -> Arc<UdpSocket> {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(ip.into(), 0)).expect("a socket");
    let buffers = socket2::SockRef::from(&socket);
    let _ = buffers.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = buffers.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true).expect("set");
    Arc::new(UdpSocket::from_std(socket).expect("registered"))
}
