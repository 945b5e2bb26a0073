//! The terminal: taken when the table begins, given back when this is dropped, whatever happened. It draws lines and reads
//! keys; it knows nothing of runs.

use std::io::{self, Stdout, Write as _};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    queue,
    style::{Attribute, Color, Print, SetAttribute, SetForegroundColor},
    terminal::{
        self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen,
    },
};
use tokio_stream::StreamExt as _;

use super::view::{Line, Style};
use crate::cli::failure::Failure;

/// What a terminal that does not tell its size is taken for.
const SIZE_UNTOLD: (u16, u16) = (80, 24);

/// What the person at the terminal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    /// To see it anew: the window has another size.
    Draw,
}

/// See the module.
pub(super) struct Screen {
    out: Stdout,
    events: EventStream,
    colors: bool,
}

impl Screen {
    pub(super) fn take(colors: bool) -> Result<Self, Failure> {
        terminal::enable_raw_mode().map_err(|error| trouble(&error))?;
        // From here on its drop gives back what was taken.
        let mut screen = Self { out: io::stdout(), events: EventStream::new(), colors };
        queue!(screen.out, EnterAlternateScreen, Hide).map_err(|error| trouble(&error))?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        let (width, height) = terminal::size().unwrap_or(SIZE_UNTOLD);
        (width.into(), height.into())
    }

    /// The next wish. May be dropped and called again.
    pub(super) async fn wish(&mut self) -> Wish {
        loop {
            match self.events.next().await {
                Some(Ok(event)) => {
                    if let Some(wish) = wish(&event) {
                        return wish;
                    }
                }
                // Nobody can say anything any more, so nobody is there.
                Some(Err(_)) | None => return Wish::Quit,
            }
        }
    }

    /// Draws all lines at once, over what is there.
    pub(super) fn draw(&mut self, lines: &[Line]) -> Result<(), Failure> {
        self.try_draw(lines).map_err(Failure::output)
    }

    fn try_draw(&mut self, lines: &[Line]) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(lines) {
            queue!(self.out, MoveTo(0, row))?;
            for (text, style) in &line.0 {
                self.put(text, *style)?;
            }
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        self.out.flush()
    }

    fn put(&mut self, text: &str, style: Style) -> io::Result<()> {
        let (attribute, color) = match style {
            Style::Plain => (None, None),
            Style::Bold => (Some(Attribute::Bold), None),
            Style::Dim => (Some(Attribute::Dim), None),
            Style::Good => (None, Some(Color::Green)),
            Style::Bad => (None, Some(Color::Red)),
            Style::Busy => (None, Some(Color::Cyan)),
        };
        if let Some(attribute) = attribute {
            queue!(self.out, SetAttribute(attribute))?;
        }
        if let Some(color) = color.filter(|_| self.colors) {
            queue!(self.out, SetForegroundColor(color))?;
        }
        queue!(self.out, Print(text), SetAttribute(Attribute::Reset))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Each is tried, whatever became of the other: there is nobody to tell, and nothing else to do.
        _ = queue!(self.out, Show, LeaveAlternateScreen).and_then(|()| self.out.flush());
        _ = terminal::disable_raw_mode();
    }
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Resize(..) => Some(Wish::Draw),
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => match code {
            KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
            // In raw mode the terminal makes no signal of it.
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
            KeyCode::Char('l') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Draw),
            _ => None,
        },
        _ => None,
    }
}

fn trouble(error: &io::Error) -> Failure {
    Failure::local(format!("cannot take the terminal: {error}"), "leave --top out to get a line for each event")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_mean_to_leave_do() {
        let key = |code, modifiers| wish(&Event::Key(KeyEvent::new(code, modifiers)));
        let none = KeyModifiers::NONE;
        for (code, modifiers) in [
            (KeyCode::Char('q'), none),
            (KeyCode::Esc, none),
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
            (KeyCode::Char('d'), KeyModifiers::CONTROL),
        ] {
            assert_eq!(key(code, modifiers), Some(Wish::Quit), "{code:?}");
        }
        assert_eq!(key(KeyCode::Char('c'), none), None);
        assert_eq!(wish(&Event::Resize(80, 24)), Some(Wish::Draw));
    }
}
