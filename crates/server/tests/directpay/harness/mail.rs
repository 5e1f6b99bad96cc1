//! Mail of the tests: files that a DirectPay wrote, and a mail server that takes what it is told to take.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{TestApp, until};

/// The folder of a DirectPay that has no mail server, beside its secrets.
pub(super) const FOLDER: &str = "test.mail";

impl TestApp {
    /// The mail to an address that became files, oldest first.
    pub(crate) fn mail_to(&self, email: &str) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.folder.path().join(FOLDER)) else { return Vec::new() };
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        // Their names are ids, and those ascend.
        files.sort();
        let mails = files.iter().map(|file| fs::read_to_string(file).unwrap());
        mails.filter(|mail| mail.contains(&format!("\r\nTo: {email}\r\n"))).collect()
    }

    /// The mails to an address with this subject, once there are so many.
    pub(crate) async fn mails(&self, email: &str, subject: &str, count: usize) -> Vec<String> {
        let found = || -> Vec<String> {
            let mails = self.mail_to(email).into_iter();
            mails.filter(|mail| mail.contains(&format!("\r\nSubject: {subject}\r\n"))).collect()
        };
        until(&format!("{count} × {subject} to {email}"), async || count <= found().len()).await;
        let mails = found();
        assert_eq!(mails.len(), count, "{mails:#?}");
        mails
    }
}

/// The token of the link in a mail.
#[track_caller]
pub(crate) fn token_in(mail: &str) -> String {
    let (_, rest) = mail.split_once("#token=").unwrap_or_else(|| panic!("no link in {mail}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

/// What an authenticator makes of a secret that is typed in.
pub(crate) fn from_base32(text: &str) -> Vec<u8> {
    let value = |c: u8| u64::from(if c.is_ascii_uppercase() { c - b'A' } else { c - b'2' + 26 });
    let groups = text.as_bytes().chunks(8).map(|group| group.iter().fold(0, |sum, c| sum << 5 | value(*c)));
    groups.flat_map(|group| group.to_be_bytes()[3..].to_vec()).collect()
}

/// Takes mail by SMTP, and answers recipients as it is told to.
#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
}

impl MailServer {
    pub(crate) fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            MailServer { address: listener.local_addr().unwrap(), mails: Arc::default(), answers: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.talk(&stream.unwrap()));
            }
        });
        server
    }

    /// The next recipients are answered so; all after them are taken.
    pub(crate) fn answer(&self, answers: &[&'static str]) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// Everything that arrived, with its envelope's recipient in the first line.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }

    /// All mail to an address, once there is so much.
    pub(crate) async fn wait_for(&self, email: &str, count: usize) -> Vec<String> {
        let to = || -> Vec<String> {
            self.mails().into_iter().filter(|mail| mail.starts_with(&format!("RCPT TO:<{email}>"))).collect()
        };
        until(&format!("{count} mails to {email}"), async || count <= to().len()).await;
        to()
    }

    fn talk(&self, stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines();
        let say = |text: &str| (&mut &*stream).write_all(format!("{text}\r\n").as_bytes()).unwrap();
        say("220 test.example ready");
        let mut recipient = String::new();
        while let Some(Ok(line)) = lines.next() {
            match line.split(' ').next().unwrap() {
                "EHLO" => say("250-test.example\r\n250 8BITMIME"),
                "MAIL" => say("250 sender taken"),
                "RCPT" => {
                    recipient = line.clone();
                    say(self.answers.lock().unwrap().pop_front().unwrap_or("250 recipient taken"));
                }
                "DATA" => {
                    say("354 go on");
                    let body: Vec<_> = lines.by_ref().map(Result::unwrap).take_while(|line| line != ".").collect();
                    self.mails.lock().unwrap().push(format!("{recipient}\r\n{}\r\n", body.join("\r\n")));
                    say("250 taken");
                }
                "QUIT" => return say("221 bye"),
                _ => say("250 well"),
            }
        }
    }
}
