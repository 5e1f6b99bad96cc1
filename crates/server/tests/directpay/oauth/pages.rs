//! Pages: what surrounds them, whose forms are believed, and what a name can do to them.

use serde_json::json;

use super::browser::{Browser, forms};
use super::{CALLBACK, answer_of, confidential, register};
use crate::harness::{Answer, GET, PASSWORD, POST, PUBLIC_URL, THROTTLED, on_both, on_both_with, on_sqlite, with};

/// Nothing but our own style, nobody's frame, nothing kept.
#[track_caller]
fn assert_strict(page: &Answer, leads_to: &str) {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{leads_to}; base-uri 'none'; frame-ancestors 'none'"
    );
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy.as_str()),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name} of {}", page.line);
    }
    for foreign in ["<script", "style=", "onclick", "//cdn", "<iframe"] {
        assert!(!page.text.contains(foreign), "{foreign} in {}", page.text);
    }
}

#[test]
fn pages_are_strict_and_nobody_frames_them() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let program = register(&renter, &confidential()).await;
        let (nobody, browser) = (Browser::new(app), Browser::of(&renter).await);
        for path in ["/sign-in", "/programs", program.asks().as_str()] {
            assert_strict(&nobody.get(path).await.must(200), "");
        }
        assert_strict(&nobody.get("/oauth/authorize").await.must(400), "");
        assert_strict(&browser.get("/programs").await.must(200), "");
        assert_strict(&browser.get(&program.asks()).await.must(200), " https:");
        // A page of a native program's.
        let native = with(&confidential(), "redirect_uris", json!(["http://127.0.0.1/cb", "http://[::1]/cb"]));
        let native = register(&renter, &native).await;
        for (uri, leads_to) in [
            ("http://127.0.0.1:49152/cb", " https: http://127.0.0.1:49152"),
            ("http://[::1]:49152/cb", " https: http:"),
        ] {
            let encoded = uri.replace(':', "%3A").replace('/', "%2F");
            let callback = CALLBACK.replace(':', "%3A").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D");
            let page = browser.get(&native.asks().replace(&callback, &encoded)).await.must(200);
            assert_strict(&page, leads_to);
            let sent = browser.submit(&page, 1, &[("decision", "refuse")]).await.must(303);
            assert_eq!(answer_of(&sent, uri)["error"], "access_denied");
        }
        let style = nobody.get("/style.css").await.must(200);
        assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
        let cookie = browser.cookie();
        assert!(cookie.starts_with("__Host-directpay=") && cookie.len() == "__Host-directpay=".len() + 43, "{cookie}");
    });
}

#[test]
fn the_cookie_is_careful_and_means_nothing_to_the_api() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let form = [("email", renter.email.as_str()), ("password", PASSWORD)];
        let sent =
            app.call(POST, "/sign-in").header("Sec-Fetch-Site", "same-origin").form(&form).send().await.must(303);
        let set = sent.header("set-cookie").unwrap().to_owned();
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
        let (pair, _) = set.split_once(';').unwrap();
        let value = pair.split_once('=').unwrap().1;
        app.call(GET, "/api/v1/users/me").header("Cookie", pair).send().await.refuses(401, "unauthorized");
        app.call(GET, "/api/v1/users/me").bearer(value).send().await.refuses(401, "unauthorized");
        app.token_by_refresh(value).await.must(400);
        let stored = app.contents().await;
        assert!(!stored.values().any(|text| text.contains(value)));
        // Of two cookies of one name somebody else has set one.
        let two = format!("{pair}; __Host-directpay=other");
        let page = app.call(GET, "/programs").header("Cookie", two).send().await.must(200);
        assert!(page.text.contains("name=\"password\""));
    });
}

#[test]
fn a_form_is_believed_from_a_page_of_this_session_only() {
    on_both(async |app| {
        let (renter, other) = (app.sign_up("RENTER").await, app.sign_up("RENTER").await);
        let program = register(&renter, &confidential()).await;
        let (browser, foreign) = (Browser::of(&renter).await, Browser::of(&other).await);
        let consent = browser.get(&program.asks()).await.must(200);
        let token = forms(&consent)[1].fields[0].1.clone();
        assert_eq!(token.len(), 64);
        let others = forms(&foreign.get(&program.asks()).await)[1].fields[0].1.clone();
        let allow = |token| [("form_token", token), ("decision", "allow")];
        for (headers, token) in [
            (vec![], token.as_str()),
            (vec![("Sec-Fetch-Site", "cross-site")], &token),
            (vec![("Sec-Fetch-Site", "same-site")], &token),
            (vec![("Sec-Fetch-Site", "none")], &token),
            (vec![("Sec-Fetch-Site", "cross-site"), ("Origin", PUBLIC_URL)], &token),
            (vec![("Origin", "null")], &token),
            (vec![("Origin", "https://evil.example")], &token),
            (vec![("Origin", "https://rent.example.com.evil.example")], &token),
            (vec![("Sec-Fetch-Site", "same-origin")], ""),
            (vec![("Sec-Fetch-Site", "same-origin")], &others),
            (vec![("Sec-Fetch-Site", "same-origin")], &token[1..]),
        ] {
            let page = browser.post_with(&program.asks(), &allow(token), &headers).await.must(403);
            assert!(page.text.contains("did not come from a page of this server"), "{}", page.text);
        }
        let headers = [("Sec-Fetch-Site", "cross-site")];
        browser.post_with("/sign-out", &[("form_token", &token)], &headers).await.must(403);
        // A browser sends no cookie with a form of another site: it must not be taken away.
        let sent = Browser::new(app).post_with("/sign-out", &[("form_token", &token)], &headers).await.must(403);
        assert_eq!(sent.header("set-cookie"), None);
        let sign_in = [("email", other.email.as_str()), ("password", PASSWORD)];
        browser.post_with("/sign-in", &sign_in, &headers).await.must(403);
        browser.post_with("/programs/revoke", &[("form_token", "x"), ("id", "x")], &headers).await.must(403);
        for fields in [vec![], vec![("decision", "allow")], vec![("form_token", token.as_str())]] {
            browser.post(&program.asks(), &fields).await.must(400);
        }
        assert!(renter.get(super::AUTHORIZATIONS).await.must(200).rows().is_empty());
        let origin = [("Origin", PUBLIC_URL)];
        browser.post_with(&program.asks(), &allow(&token), &origin).await.must(303);
    });
}

#[test]
fn a_name_is_text_whatever_it_says() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let name = "<img src=x onerror=alert(1)>\"'&lt;</strong><script>";
        let program = register(&renter, &with(&confidential(), "name", json!(name))).await;
        let browser = Browser::of(&renter).await;
        let consent = browser.get(&program.asks()).await.must(200);
        let code = program.let_in(&browser).await;
        program.exchange(&code).await.must(200);
        for page in [consent, browser.get("/programs").await.must(200)] {
            assert!(page.text.contains("&#60;img src=x onerror=alert(1)&#62;&#34;&#39;&#38;lt;"), "{}", page.text);
            assert!(!page.text.contains("<img") && !page.text.contains("<script"), "{}", page.text);
        }
        // Nor can what was typed, or an address, get out of its quotes.
        let nobody = Browser::new(app);
        let page = nobody.get("/sign-in?next=/programs%22%3E%3Cscript%3E").await.must(200);
        assert!(!page.text.contains("<script"), "{}", page.text);
        let page = nobody.fill_in(&page, "\"><script>@example.com", "x").await.must(422);
        assert!(!page.text.contains("<script"), "{}", page.text);
        let path = format!("{}&x=%22%3E%3Cscript%3E&y=\"><script>", program.asks());
        let page = nobody.get(&path.replace(['"', '<', '>'], "")).await;
        assert!(!page.text.contains("<script"), "{}", page.text);
    });
}

#[test]
fn signing_in_goes_on_to_pages_of_our_own_and_signing_out_ends_it() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let program = register(&renter, &confidential()).await;
        for (next, goes_to) in [
            ("/programs", "/programs"),
            ("//evil.example/", "/programs"),
            ("https://evil.example/", "/programs"),
            ("/\\evil.example", "/programs"),
        ] {
            let fields = [("email", renter.email.as_str()), ("password", PASSWORD), ("next", next)];
            let sent = Browser::new(app).post("/sign-in", &fields).await.must(303);
            assert_eq!(sent.header("location"), Some(goes_to), "{next}");
        }
        let browser = Browser::of(&renter).await;
        assert_eq!(browser.get("/sign-in?next=//evil.example").await.must(303).header("location"), Some("/programs"));
        let code = program.let_in(&browser).await;
        let (page, cookie) = (browser.get("/programs").await.must(200), browser.cookie());
        browser.submit(&page, 0, &[]).await.must(303);
        assert_eq!(browser.cookie(), "");
        let page = app.call(GET, "/programs").header("Cookie", cookie).send().await.must(200);
        assert!(page.text.contains("name=\"password\""));
        program.exchange(&code).await.refuses_as_oauth(400, "invalid_grant");
        // The session of the API is another.
        renter.get("/api/v1/users/me").await.must(200);
    });
}

#[test]
fn guessing_is_slowed_on_the_page_as_everywhere() {
    on_both_with(THROTTLED, async |app| {
        // Whoever has signed in from here before is not held up by what others guess.
        let email = "nobody@example.com";
        let browser = Browser::new(app);
        let page = browser.get("/sign-in").await.must(200);
        let mut slowed = browser.fill_in(&page, email, "wrong").await.must(422);
        assert!(slowed.text.contains("E-mail address or password is wrong.") && slowed.text.contains(email));
        // How soon depends on how long a password takes to compare.
        for _ in 0..12 {
            slowed = browser.fill_in(&page, email, "wrong").await;
            if slowed.status == 429 {
                break;
            }
        }
        let slowed = slowed.must(429);
        assert!(slowed.header("retry-after").is_some() && slowed.text.contains("Try again in"), "{}", slowed.text);
    });
}
