//! WASI for guests whose language cannot do without it, with nothing granted: no files, no sockets, no
//! names, no environment, no arguments, and an input that is at its end. The clocks and chance work; what is
//! written to the outputs goes to the plugin's log, line by line.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView};

use super::hands::LogLevel;
use super::limits::Messages;
use crate::clock::Clock;

/// Handles that a guest may hold at once: each costs memory of ours, not of its own.
const HANDLES_MAX: usize = 1_024;
/// The most chance at a time, in bytes: seeds have some dozens.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// A line is cut here, so that what is not ended by a line feed is not kept without end.
const LINE_BYTES_MAX: usize = 4 << 10;
/// How much may be written at once.
const WRITE_BYTES_MAX: usize = 4 << 10;

/// What WASI's functions work on.
pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    pub fn nothing_granted(messages: &Arc<Messages>, clock: Arc<dyn Clock>) -> Wasi {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let output = |level| Output { messages: Arc::clone(messages), level, line: Vec::new() };
        let context = WasiCtx::builder()
            .stdout(output(LogLevel::Info))
            .stderr(output(LogLevel::Warn))
            .wall_clock(WallClock(clock))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX)
            .build();
        Wasi { context, table }
    }

    pub fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

struct WallClock(Arc<dyn Clock>);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.now().as_micros())
    }
}

/// An output whose lines go to the plugin's log.
struct Output {
    messages: Arc<Messages>,
    level: LogLevel,
    /// What was written since the last line feed.
    line: Vec<u8>,
}

impl Output {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else {
                self.line.push(*byte);
                if self.line.len() >= LINE_BYTES_MAX {
                    self.end_line();
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.messages.write(self.level, String::from_utf8_lossy(&line).trim_end_matches('\r'));
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl Clone for Output {
    fn clone(&self) -> Output {
        Output { messages: Arc::clone(&self.messages), level: self.level, line: Vec::new() }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: tokio_util::bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
