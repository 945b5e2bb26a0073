//! Real requests to a small server of the test's own, on whatever port is free.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// A server that gives the same answer to every request, and keeps what it was sent.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer.into()), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), kept.clone()));
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads one request to the end of its body, answers, and hangs up. An empty answer is none: the request just waits.
async fn serve(mut stream: TcpStream, answer: Arc<Vec<u8>>, seen: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_string();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                seen.lock().unwrap().push(text);
                break;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    // The client may hang up before all of a long answer is sent.
    let _ = stream.write_all(&answer).await;
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Sends what a payload says, as the processor does.
async fn send(server: &Server, path: &str, rest: &str) -> Outcome {
    let allow = vec![format!("http://{}/ok", server.address).parse().unwrap()];
    let http = Http::new(Settings { allow, ..Settings::default() }).unwrap();
    let payload = format!(r#"{{"url":"http://{}{path}"{rest}}}"#, server.address);
    let accepted = http.accept("application/json", payload.as_bytes())?;
    let request = accepted.to_request("the-run", 2, None)?;
    let answer = tokio::time::timeout(LONG, http.exchange(request)).await.expect("an answer should come")?;
    let expected = accepted.expects(answer.status);
    answer.into_outcome(expected)
}

#[tokio::test]
async fn a_request_goes_out_as_stated_and_its_answer_is_the_result() {
    let server = Server::answering(answer("201 Created\r\ncontent-type: application/json", r#"{"id":7}"#)).await;
    let rest = r#","method":"POST","headers":{"X-Key":"v"},"body":"{\"amount\":3}","expect":[201]"#;
    let result = send(&server, "/ok/settle?dry=1", rest).await.unwrap();
    assert_eq!((result.content_type.as_str(), &result.data[..]), ("application/json", &br#"{"id":7}"#[..]));
    let [seen] = &server.seen()[..] else { panic!("one request should arrive") };
    assert!(seen.starts_with("POST /ok/settle?dry=1 HTTP/1.1\r\n"), "{seen}");
    for line in [
        &format!("host: {}", server.address),
        "x-key: v",
        "idempotency-key: the-run",
        "x-semel-attempt: 2",
        "content-length: 12",
    ] {
        assert!(seen.to_lowercase().contains(&format!("\r\n{line}\r\n")), "{line} is not in {seen}");
    }
    assert!(seen.ends_with("\r\n\r\n{\"amount\":3}"), "{seen}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_unless_it_is_what_was_expected() {
    let elsewhere = Server::answering(answer("200 OK", "secret")).await;
    let head = format!("302 Found\r\nlocation: http://{}/ok", elsewhere.address);
    let server = Server::answering(answer(&head, "")).await;
    let error = send(&server, "/ok", "").await.unwrap_err();
    assert_eq!(error, ProcessError::permanent(error.to_string()));
    assert!(error.to_string().contains("redirects are not followed"), "{error}");
    assert!(send(&server, "/ok", r#","expect":[302]"#).await.is_ok());
    assert_eq!((server.seen().len(), elsewhere.seen().len()), (2, 0));
}

#[tokio::test]
async fn what_is_not_allowed_is_never_sent() {
    let server = Server::answering(answer("200 OK", "")).await;
    for path in ["/", "/okay", "/ok/../admin", "/ok/%2e%2e/admin"] {
        let error = send(&server, path, "").await.unwrap_err();
        assert_eq!(error, ProcessError::permanent(error.to_string()), "{path}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_answer_is_kept_up_to_its_bound() {
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    let server = Server::answering(answer("200 OK", &body)).await;
    assert_eq!(send(&server, "/ok", "").await.unwrap().data.len(), BODY_BYTES_MAX);
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "8000\r\n".to_owned() + &"y".repeat(0x8000) + "\r\n"
    );
    let endless = endless.clone() + &format!("8000\r\n{}\r\n", "y".repeat(0x8000)).repeat(40);
    let server = Server::answering(endless).await;
    assert_eq!(send(&server, "/ok", "").await.unwrap().data.len(), BODY_BYTES_MAX);
}

#[tokio::test]
async fn a_server_that_is_busy_says_when_to_come_again() {
    let server = Server::answering(answer("429 Too Many Requests\r\nretry-after: 17", "slow down")).await;
    let error = send(&server, "/ok", "").await.unwrap_err();
    let expected = "answered 429 Too Many Requests: slow down";
    assert_eq!(error, ProcessError::retry_after(expected, Duration::from_secs(17)));
}

#[tokio::test]
async fn a_lost_connection_is_a_failure_that_may_pass() {
    // Nobody listens, and nobody else gets the port.
    let port = TcpSocket::new_v4().unwrap();
    port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = Server { address: port.local_addr().unwrap().to_string(), seen: Arc::default() };
    let error = send(&nobody, "/ok", "").await.unwrap_err();
    assert_eq!(error, ProcessError::failed(error.to_string()));
    assert!(error.to_string().starts_with("cannot get an answer: "), "{error}");
    let torn = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let error = send(&torn, "/ok", "").await.unwrap_err();
    assert_eq!(error, ProcessError::failed(error.to_string()));
}

#[tokio::test]
async fn the_shortest_limit_holds() {
    let server = Server::answering("").await;
    let allow = vec![format!("http://{}", server.address).parse().unwrap()];
    let http = Http::new(Settings { allow, timeout: Duration::from_secs(60) }).unwrap();
    let time = |rest: &str, left| {
        let payload = format!(r#"{{"url":"http://{}/"{rest}}}"#, server.address);
        http.time(&http.accept("application/json", payload.as_bytes()).unwrap(), left)
    };
    assert_eq!(time("", None), Duration::from_secs(30));
    assert_eq!(time(r#","timeout_ms":90000"#, None), Duration::from_secs(60));
    assert_eq!(time(r#","timeout_ms":90000"#, Some(Duration::from_secs(2))), Duration::from_secs(2));
}

#[tokio::test]
async fn tls_is_spoken_where_the_url_says_so_and_not_fallen_back_from() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let first_byte = tokio::spawn(async move { listener.accept().await.unwrap().0.read_u8().await.unwrap() });
    let allow = vec![format!("https://{address}").parse().unwrap()];
    let http = match Http::new(Settings { allow, ..Settings::default() }) {
        Ok(http) => http,
        // A machine without certificates cannot judge a server, and says so at once.
        Err(error) => return assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}"),
    };
    let payload = format!(r#"{{"url":"https://{address}/","body":"hush"}}"#);
    let accepted = http.accept("application/json", payload.as_bytes()).unwrap();
    let sent = http.exchange(accepted.to_request("the-run", 1, None).unwrap());
    let error = tokio::time::timeout(LONG, sent).await.expect("it should fail").unwrap_err();
    assert_eq!(error, ProcessError::failed(error.to_string()));
    const HANDSHAKE: u8 = 0x16;
    assert_eq!(first_byte.await.unwrap(), HANDSHAKE);
}
