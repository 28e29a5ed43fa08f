//! Lines with a server of a channel: it answers what it is asked, when it is told to.

use futures_util::FutureExt as _;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, oneshot};

use super::*;

type Request = (u32, oneshot::Sender<u32>);

/// The client's end, and the server's.
struct Ends {
    asking: UnboundedSender<Request>,
    asked: UnboundedReceiver<u32>,
    answering: UnboundedSender<u32>,
}

/// As the client's library does it: what is asked is sent, and what is answered is passed on in order.
fn line() -> (Arc<Line>, Driver, Ends) {
    let (asking, mut requests) = mpsc::unbounded_channel::<Request>();
    let (sending, asked) = mpsc::unbounded_channel();
    let (answering, mut answers) = mpsc::unbounded_channel();
    let mut waiting = std::collections::VecDeque::new();
    let connection = std::future::poll_fn(move |context| {
        while let Poll::Ready(answer) = answers.poll_recv(context) {
            let Some(answer) = answer else { return Poll::Ready(()) };
            let tell: oneshot::Sender<u32> = waiting.pop_front().unwrap();
            let _ = tell.send(answer);
        }
        while let Poll::Ready(Some((request, tell))) = requests.poll_recv(context) {
            waiting.push_back(tell);
            let _ = sending.send(request);
        }
        Poll::Pending
    });
    let (line, driver) = Line::new(connection);
    (line, driver, Ends { asking, asked, answering })
}

async fn ask(asking: UnboundedSender<Request>, request: u32) -> Option<u32> {
    let (tell, answer) = oneshot::channel();
    asking.send((request, tell)).ok()?;
    answer.await.ok()
}

/// Answers with twice what it is asked, until nobody asks any more.
async fn serve(mut asked: UnboundedReceiver<u32>, answering: UnboundedSender<u32>) {
    while let Some(request) = asked.recv().await {
        let _ = answering.send(2 * request);
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counted(std::sync::atomic::AtomicUsize);

impl Counted {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn counted() -> (Arc<Counted>, Waker) {
    let counted = Arc::new(Counted::default());
    (Arc::clone(&counted), Waker::from(counted))
}

#[tokio::test]
async fn whoever_waits_needs_nobody_else_and_wakes_nobody_else() {
    let (line, mut driver, Ends { asking, mut asked, answering }) = line();
    let (task, waker) = counted();
    assert!(driver.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    for request in 1..4 {
        let mut call = std::pin::pin!(line.drive(ask(asking.clone(), request)));
        assert_eq!(call.as_mut().now_or_never(), None);
        assert_eq!(asked.try_recv(), Ok(request), "it is sent when it is asked");
        answering.send(request + 10).unwrap();
        assert_eq!(call.now_or_never(), Some(Some(request + 10)));
    }
    assert_eq!(task.count(), 0);
}

#[tokio::test]
async fn a_caller_is_woken_only_by_what_comes() {
    let (line, _driver, Ends { asking, asked: _asked, answering }) = line();
    let mut call = std::pin::pin!(line.drive(ask(asking, 1)));
    let (caller, waker) = counted();
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(caller.count(), 0, "what it sent itself");
    // He moved.
    let (now, waker) = counted();
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    answering.send(2).unwrap();
    assert_eq!((caller.count(), now.count()), (0, 1));
    assert_eq!(call.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Some(2)));
}

#[tokio::test]
async fn what_a_dropped_call_leaves_behind_is_done_by_the_task() {
    let (line, driver, Ends { asking, mut asked, answering }) = line();
    tokio::spawn(driver);
    let mut dropped = Box::pin(line.drive(ask(asking.clone(), 1)));
    assert_eq!(dropped.as_mut().now_or_never(), None);
    drop(dropped);
    // Its answer is thrown away, and is not the next one's.
    answering.send(2).unwrap();
    tokio::task::yield_now().await;
    let without_driving = tokio::spawn(ask(asking.clone(), 3));
    assert_eq!(asked.recv().await, Some(1));
    assert_eq!(asked.recv().await, Some(3));
    answering.send(6).unwrap();
    assert_eq!(without_driving.await.unwrap(), Some(6));
}

#[tokio::test]
async fn what_comes_as_the_caller_leaves_is_told_to_the_task() {
    let (line, mut driver, Ends { asking, asked: _asked, answering }) = line();
    let (task, waker) = counted();
    assert!(driver.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    let (ended, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let other = ask(asking, 1);
    let leaving = async {
        let mut other = std::pin::pin!(other);
        assert_eq!(other.as_mut().now_or_never(), None);
        end.notified().await;
        ended.notify_one();
    };
    let mut call = std::pin::pin!(line.drive(leaving));
    let (caller, of_caller) = counted();
    assert!(call.as_mut().poll(&mut Context::from_waker(&of_caller)).is_pending());
    // Both at once: the caller is done before he looks at the connection.
    answering.send(2).unwrap();
    end.notify_one();
    assert!(caller.count() > 0);
    assert_eq!(call.as_mut().poll(&mut Context::from_waker(&of_caller)), Poll::Ready(()));
    assert_eq!(task.count(), 1);
}

#[tokio::test]
async fn a_connection_that_ends_is_noticed_whoever_drives() {
    // A caller.
    let (by_caller, _task, ends) = line();
    let mut call = std::pin::pin!(by_caller.drive(ask(ends.asking.clone(), 1)));
    assert_eq!(call.as_mut().now_or_never(), None);
    drop(ends.answering);
    assert_eq!(call.now_or_never(), Some(None));
    assert!(ends.asking.is_closed());
    // Nobody, so the task.
    let (_idle, task, ends) = line();
    let task = tokio::spawn(task);
    drop(ends.answering);
    task.await.unwrap();
    assert!(ends.asking.is_closed());
    // A caller whose task is taken down.
    let (orphan, task, ends) = line();
    let mut call = std::pin::pin!(orphan.drive(ask(ends.asking.clone(), 1)));
    let (caller, waker) = counted();
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(task);
    assert_eq!(caller.count(), 1);
    assert_eq!(call.now_or_never(), Some(None));
    assert_eq!(orphan.drive(ask(ends.asking, 2)).now_or_never(), Some(None));
}

#[test]
fn a_connection_that_panics_under_a_caller_ends() {
    let (asking, requests) = mpsc::unbounded_channel::<Request>();
    let panics = async move {
        let mut requests = requests;
        drop(requests.recv().await);
        panic!("as a fault of the client's library would");
    };
    let (line, _driver) = Line::new(panics);
    let call = line.drive(ask(asking.clone(), 1));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.now_or_never()));
    assert!(ended.is_err());
    assert!(asking.is_closed());
    assert_eq!(line.drive(ask(asking, 2)).now_or_never(), Some(None));
}

#[tokio::test]
async fn calls_within_a_call_share_its_line() {
    let (line, _driver, Ends { asking, asked, answering }) = line();
    tokio::spawn(serve(asked, answering));
    let within = |request| line.drive(ask(asking.clone(), request));
    let both = futures_util::future::join(within(1), within(2));
    assert_eq!(line.drive(both).await, (Some(2), Some(4)));
    // Side by side: the second is left to the task, or takes over.
    let (line, driver, Ends { asking, asked, answering }) = self::line();
    tokio::spawn(driver);
    tokio::spawn(serve(asked, answering));
    let side = |request| line.drive(ask(asking.clone(), request));
    assert_eq!(futures_util::future::join(side(1), side(2)).await, (Some(2), Some(4)));
}

/// Wakers that get lost show as a test that does not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_between_many_who_take_over() {
    let (line, driver, Ends { asking, asked, answering }) = line();
    tokio::spawn(driver);
    tokio::spawn(serve(asked, answering));
    let callers: Vec<_> = (0..8_u32)
        .map(|caller| {
            let (line, asking) = (Arc::clone(&line), asking.clone());
            tokio::spawn(async move {
                for n in 0..2_000 {
                    let request = caller * 10_000 + n;
                    let call = line.drive(ask(asking.clone(), request));
                    match n % 4 {
                        // Left in the middle.
                        0 => drop(Box::pin(call).now_or_never()),
                        // By the task.
                        1 => assert_eq!(ask(asking.clone(), request).await, Some(2 * request)),
                        // Begun here, ended elsewhere.
                        2 => {
                            let (line, asking) = (Arc::clone(&line), asking.clone());
                            let mut call =
                                Box::pin(async move { line.drive(ask(asking, request)).await });
                            let begun = (&mut call).now_or_never();
                            let answer = match begun {
                                Some(answer) => answer,
                                None => tokio::spawn(call).await.unwrap(),
                            };
                            assert_eq!(answer, Some(2 * request));
                        }
                        _ => assert_eq!(call.await, Some(2 * request)),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[test]
fn a_caller_of_another_runtime_drives_as_well_and_outlives_the_first() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let (line, driver, Ends { asking, asked, answering }) = line();
    first.spawn(driver);
    second.spawn(serve(asked, answering));
    assert_eq!(second.block_on(line.drive(ask(asking.clone(), 1))), Some(2));
    drop(first);
    assert_eq!(second.block_on(line.drive(ask(asking, 2))), None);
}
