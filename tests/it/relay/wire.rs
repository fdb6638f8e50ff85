//! An address that leads to one daemon after the other, or to none.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// Its connections end with it, and whenever it is led elsewhere.
pub struct Wire {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    to: u16,
    open: Vec<TcpStream>,
}

impl Wire {
    /// Leads to a port; to nobody if that is 0.
    pub fn to(port: u16) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let wire = Wire {
            port: listener.local_addr().unwrap().port(),
            state: Arc::default(),
        };
        wire.lead_to(port);
        let state = wire.state.clone();
        spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let mut state = state.lock().unwrap();
                let there = TcpStream::connect(("127.0.0.1", state.to));
                if let Some(there) = there.ok().filter(|_| state.to != 0) {
                    state.open.push(tcp.try_clone().unwrap());
                    state.open.push(there.try_clone().unwrap());
                    join(tcp, there);
                }
            }
        });
        wire
    }

    /// From now on it leads there.
    pub fn lead_to(&self, port: u16) {
        let mut state = self.state.lock().unwrap();
        state.to = port;
        for tcp in state.open.drain(..) {
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.lead_to(0);
    }
}

fn join(one: TcpStream, other: TcpStream) {
    let (a, b) = (one.try_clone().unwrap(), other.try_clone().unwrap());
    spawn(move || copy(one, other));
    spawn(move || copy(b, a));
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for tcp in [from, to] {
        let _ = tcp.shutdown(Shutdown::Both);
    }
}
