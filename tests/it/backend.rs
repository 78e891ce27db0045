//! A backend for tools: a small HTTP server that writes down what it was asked and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query, as written.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Method and target on one line.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub manner: Manner,
    /// It is sent when this gives a permit.
    pub gate: Option<Arc<Semaphore>>,
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    AtOnce,
    /// A byte now and then, for ever.
    Drip,
    /// Never: the connection stays open and silent.
    Silent,
    /// Without a length, in chunks.
    Chunked,
    /// The connection is closed without a word.
    Closed,
}

impl Reply {
    pub fn new(status: u16, body: &str) -> Reply {
        Reply { status, headers: Vec::new(), body: body.to_owned(), manner: Manner::AtOnce, gate: None }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn held_by(self, gate: Arc<Semaphore>) -> Reply {
        Reply { gate: Some(gate), ..self }
    }

    pub fn manner(self, manner: Manner) -> Reply {
        Reply { manner, ..self }
    }
}

type Answering = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// A listening backend; it stops when it is dropped.
pub struct Backend {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Backend {
    /// Listens on loopback. `answer` is given the request and how many came before it.
    pub async fn start(answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let answer: Arc<Answering> = Arc::new(answer);
        let log = asked.clone();
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, log.clone(), answer.clone()));
            }
        });
        Backend { address, asked, serving }
    }

    /// Always the same answer.
    pub async fn answering(status: u16, body: &'static str) -> Backend {
        Backend::start(move |_, _| Reply::new(status, body)).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.asked).clone()
    }

    /// Method and target of each request so far.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

fn locked(asked: &Mutex<Vec<Asked>>) -> MutexGuard<'_, Vec<Asked>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request, one answer; whoever goes away in between is let go.
async fn serve(socket: TcpStream, log: Arc<Mutex<Vec<Asked>>>, answer: Arc<Answering>) {
    let mut socket = BufReader::new(socket);
    let Some(asked) = read(&mut socket).await else { return };
    let reply = {
        let mut log = locked(&log);
        let reply = answer(&asked, log.len());
        log.push(asked);
        reply
    };
    let _ = write(&mut socket.into_inner(), &reply).await;
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            plain => lines.push(plain.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    socket.read_exact(&mut body).await.ok()?;
    Some(Asked { method, target, headers, body: String::from_utf8_lossy(&body).into_owned(), bytes: body })
}

async fn write(socket: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    if let Some(gate) = &reply.gate {
        gate.acquire().await.expect("an open gate").forget();
    }
    let silence = Duration::from_secs(600);
    match reply.manner {
        Manner::Silent => tokio::time::sleep(silence).await,
        Manner::Closed => return Ok(()),
        _ => {}
    }
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = match reply.manner {
        Manner::Chunked => {
            head.push_str("transfer-encoding: chunked\r\n");
            format!("{:x}\r\n{}\r\n0\r\n\r\n", reply.body.len(), reply.body)
        }
        Manner::Drip => {
            head.push_str("content-length: 60000\r\n");
            String::new()
        }
        _ => {
            head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
            reply.body.clone()
        }
    };
    socket.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    if reply.manner != Manner::Drip {
        return socket.shutdown().await;
    }
    // Until the other side has had enough.
    loop {
        socket.write_all(b" ").await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
