//! An SSH server in this process, for tests. What a command is run with is the test's to say.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{self, Auth, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::KeyPair;

/// What runs a command line, with the standard streams that it is given; where there is nothing, the channel ends without a
/// word.
pub(crate) type Shell = Arc<dyn Fn(&str) -> Option<Command> + Send + Sync>;

/// The server, until it is dropped: then its connections end, and what it has begun goes on.
pub(crate) struct Sshd {
    _accepting: AbortOnDropHandle<()>,
}

impl Sshd {
    /// Serves root, who shows the authorized public key; counts the commands that it starts.
    pub(crate) fn serve(
        listener: TcpListener,
        host: &KeyPair,
        authorized: &str,
        shell: Shell,
        commands: Arc<watch::Sender<usize>>,
    ) -> Self {
        let config = Arc::new(server::Config {
            keys: vec![PrivateKey::from_openssh(&host.private).unwrap()],
            auth_rejection_time: Duration::ZERO,
            ..server::Config::default()
        });
        let client: Arc<str> = authorized.into();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = Connection {
                    client: Arc::clone(&client),
                    shell: Arc::clone(&shell),
                    commands: Arc::clone(&commands),
                    channels: HashMap::new(),
                };
                let config = Arc::clone(&config);
                connections.spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, connection).await {
                        let _ = session.await;
                    }
                });
            }
        });
        Self {
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }
}

struct Connection {
    client: Arc<str>,
    shell: Shell,
    commands: Arc<watch::Sender<usize>>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl server::Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = key.public_key.to_openssh().unwrap();
        Ok(
            if user == "root" && self.client.starts_with(known.trim_end()) {
                Auth::Accept
            } else {
                Auth::reject()
            },
        )
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        let channel = self.channels.remove(&id).unwrap();
        let line = String::from_utf8(line.to_vec()).unwrap();
        tokio::spawn(run(channel, line, Arc::clone(&self.shell)));
        self.commands.send_modify(|count| *count += 1);
        Ok(())
    }
}

async fn run(channel: Channel<Msg>, line: String, shell: Shell) {
    let (mut read, write) = channel.split();
    let Some(mut command) = shell(&line) else {
        write.close().await.unwrap();
        return;
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move {
        let mut input = read.make_reader();
        let _ = tokio::io::copy(&mut input, &mut stdin).await;
        let _ = stdin.shutdown().await;
    });
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let _ = write.data(&mut stdout).await;
    let mut errors = Vec::new();
    stderr.read_to_end(&mut errors).await.unwrap();
    let _ = write.extended_data_bytes(1, errors).await;
    // The order that catches those who stop reading at the end of the output.
    let _ = write.eof().await;
    let status = child.wait().await.unwrap();
    let _ = write.exit_status(status.code().unwrap() as u32).await;
    let _ = write.close().await;
}
