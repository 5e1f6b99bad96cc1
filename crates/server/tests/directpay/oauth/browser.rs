//! A browser without JavaScript: it keeps its cookie, reads forms and sends them.

use std::cell::RefCell;

use crate::harness::{Answer, Call, GET, PASSWORD, POST, TestApp, Visitor};

pub(super) struct Browser<'a> {
    app: &'a TestApp,
    cookie: RefCell<Option<String>>,
}

/// A form of a page.
pub(super) struct Form {
    pub(super) action: String,
    pub(super) fields: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    pub(super) fn new(app: &'a TestApp) -> Browser<'a> {
        Browser { app, cookie: RefCell::default() }
    }

    /// One in which this person has signed in.
    pub(super) async fn of(person: &Visitor<'a>) -> Browser<'a> {
        let browser = Browser::new(person.app);
        let page = browser.get("/sign-in").await.must(200);
        browser.fill_in(&page, &person.email, PASSWORD).await.must(303);
        browser
    }

    pub(super) fn cookie(&self) -> String {
        self.cookie.borrow().clone().unwrap_or_default()
    }

    fn with_cookie(&self, call: Call<'a>) -> Call<'a> {
        match &*self.cookie.borrow() {
            Some(cookie) => call.header("Cookie", format!("theme=dark; {cookie}")),
            None => call,
        }
    }

    async fn send(&self, call: Call<'a>) -> Answer {
        let answer = self.with_cookie(call).send().await;
        if let Some(set) = answer.header("set-cookie") {
            let (pair, attributes) = set.split_once("; ").unwrap();
            let is_end = attributes.ends_with("Max-Age=0");
            *self.cookie.borrow_mut() = (!is_end).then(|| pair.to_owned());
        }
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(self.app.call(GET, path)).await
    }

    /// Sends a form as a page of the server does.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.app.call(POST, path).header("Sec-Fetch-Site", "same-origin").form(fields)).await
    }

    /// Sends it with other headers.
    pub(super) async fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let call = self.app.call(POST, path).form(fields);
        self.send(headers.iter().fold(call, |call, (name, value)| call.header(name, value))).await
    }

    /// Fills in a form of a page and sends it.
    pub(super) async fn submit(&self, page: &Answer, number: usize, more: &[(&str, &str)]) -> Answer {
        let form = &forms(page)[number];
        let fields: Vec<_> = form
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| more.iter().all(|(other, _)| other != name))
            .chain(more.iter().copied())
            .collect();
        self.post(&form.action, &fields).await
    }

    /// Fills in the form of a page on which nobody is signed in.
    pub(super) async fn fill_in(&self, page: &Answer, email: &str, password: &str) -> Answer {
        self.submit(page, 0, &[("email", email), ("password", password)]).await
    }
}

/// The forms of a page, with the fields that have a value already.
pub(super) fn forms(page: &Answer) -> Vec<Form> {
    let bodies = page.text.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap());
    bodies
        .map(|body| {
            let inputs = body.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap());
            Form {
                action: attribute(body.split('>').next().unwrap(), "action").unwrap(),
                fields: inputs
                    .map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap_or_default()))
                    .collect(),
            }
        })
        .collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    Some(unescaped(rest.split('"').next().unwrap()))
}

pub(super) fn unescaped(text: &str) -> String {
    let forms = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    forms.iter().fold(text.to_owned(), |text, (form, character)| text.replace(form, character))
}
