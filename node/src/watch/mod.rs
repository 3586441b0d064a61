//! Shares that publish their next version by themselves.

mod debounce;
