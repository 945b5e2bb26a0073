//! Lists over pages: how many items are wanted, and where the list goes on. A page may hold fewer items than asked for,
//! or none, and still not be the last; this file asks on until there are enough.

use clap::Args;
use semel_client::Method;
use semel_proto::v1::{
    ListAppsResponse, ListJobsResponse, ListRequestsResponse, ListRunsResponse, ListTriggersResponse, PageRequest,
    PageResponse,
};

use super::{failure::Failure, session::Session, show::Show};

/// What the server gives in one page at most.
const PAGE_SIZE_MAX: usize = 1000;

/// The options of every list.
#[derive(Args, Clone, Debug)]
pub(crate) struct PageArgs {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Where to go on, as the end of the last list says
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page: String,
}

/// An answer that holds a page of a list.
pub(crate) trait Paged: Show {
    /// How many items it holds.
    fn count(&self) -> usize;
    /// Where the list goes on.
    fn page(&self) -> Option<&PageResponse>;
    /// Takes the items and the page of a later answer.
    fn append(&mut self, next: Self);
}

macro_rules! paged {
    ($($answer:ty: $items:ident),*) => {$(
        impl Paged for $answer {
            fn count(&self) -> usize {
                self.$items.len()
            }

            fn page(&self) -> Option<&PageResponse> {
                self.page.as_ref()
            }

            fn append(&mut self, mut next: Self) {
                self.$items.append(&mut next.$items);
                self.page = next.page;
                self.header = next.header;
            }
        }
    )*};
}
paged!(ListAppsResponse: apps, ListJobsResponse: jobs, ListRunsResponse: runs, ListRequestsResponse: requests, ListTriggersResponse: triggers);

/// Lists, and shows it as one list.
pub(crate) async fn show<M>(session: &Session, args: &PageArgs, build: impl Fn(PageRequest) -> M) -> Result<(), Failure>
where
    M: Method,
    M::Response: Paged,
{
    let wanted = if args.all { usize::MAX } else { args.limit as usize };
    let mut list = session.read(build(request(wanted, &args.page))).await?;
    while let Some(token) = token(&list).filter(|_| list.count() < wanted) {
        let next = session.read(build(request(wanted - list.count(), token))).await?;
        list.append(next);
    }
    session.show(&list)?;
    if let Some(token) = token(&list) {
        session.remark(&format!("there are more: go on with --page {token}, or ask for --all"));
    }
    Ok(())
}

fn request(wanted: usize, token: &str) -> PageRequest {
    let page_size = i32::try_from(wanted.min(PAGE_SIZE_MAX)).unwrap_or(i32::MAX);
    PageRequest { page_size, page_token: token.to_owned() }
}

fn token(list: &impl Paged) -> Option<&str> {
    list.page().map(|page| page.next_page_token.as_str()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use semel_proto::v1::Run;

    use super::*;

    #[test]
    fn pages_become_one_list_that_ends_where_the_last_one_does() {
        let page = |ids: &[&str], token: &str| ListRunsResponse {
            runs: ids.iter().map(|id| Run { run_id: (*id).to_owned(), ..Run::default() }).collect(),
            page: Some(PageResponse { next_page_token: token.to_owned() }),
            ..ListRunsResponse::default()
        };
        let mut list = page(&["a"], "next");
        assert_eq!(token(&list), Some("next"));
        list.append(page(&["b", "c"], ""));
        assert_eq!((list.count(), token(&list)), (3, None));
        assert_eq!(request(5000, "t").page_size, 1000);
    }
}
