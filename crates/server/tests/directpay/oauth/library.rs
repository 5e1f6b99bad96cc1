//! The whole story, told by a client library that somebody else wrote, which follows what the server says of itself.

use std::convert::Infallible;

use oauth2::basic::BasicClient;
use oauth2::{
    AccessToken, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse,
    IntrospectionUrl, PkceCodeChallenge, RedirectUrl, RefreshToken, RequestTokenError, RevocationUrl, Scope,
    StandardRevocableToken, TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use serde_json::{Value, json};

use super::browser::Browser;
use super::{AUTHORIZATIONS, CALLBACK, Program, answer_of, confidential, register};
use crate::harness::{GET, PASSWORD, PUBLIC_URL, TestApp, Visitor, on_both};

/// What the library sends to the public address arrives here.
async fn carry(app: &TestApp, request: HttpRequest) -> Result<HttpResponse, Infallible> {
    let path = request.uri().to_string().strip_prefix(PUBLIC_URL).unwrap().to_owned();
    let mut call = app.call(request.method().clone(), &path);
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != "content-type") {
        call = call.header(name.as_str(), value.as_bytes());
    }
    let content_type = request.headers()["content-type"].to_str().unwrap().to_owned();
    let answer = call.body(&content_type, request.into_body()).send().await;
    let mut response = HttpResponse::new(answer.text.into_bytes());
    *response.status_mut() = answer.status.try_into().unwrap();
    *response.headers_mut() = answer.headers;
    Ok(response)
}

fn acting<'a>(app: &'a TestApp, token: &AccessToken) -> Visitor<'a> {
    let token = token.secret().clone();
    Visitor { app, id: String::new(), email: String::new(), token, refresh_token: String::new() }
}

#[test]
fn a_client_library_of_somebody_else_goes_the_whole_way() {
    on_both(async |app| {
        let home = app.home().await;
        let developer = app.sign_up("LANDLORD").await;
        let Program { id, secret, .. } = register(&developer, &confidential()).await;
        let about = app.call(GET, "/.well-known/oauth-authorization-server").send().await.must(200);
        let at = |name: &str| about.text_of(name);
        let client = BasicClient::new(ClientId::new(id.clone()))
            .set_client_secret(ClientSecret::new(secret))
            .set_auth_uri(AuthUrl::new(at("authorization_endpoint")).unwrap())
            .set_token_uri(TokenUrl::new(at("token_endpoint")).unwrap())
            .set_introspection_url(IntrospectionUrl::new(at("introspection_endpoint")).unwrap())
            .set_revocation_url(RevocationUrl::new(at("revocation_endpoint")).unwrap())
            .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());
        let http = |request: HttpRequest| carry(app, request);

        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = ["leases:read", "payments:write"].map(|name| Scope::new(name.to_owned()));
        let (address, state) =
            client.authorize_url(CsrfToken::new_random).add_scopes(scopes.clone()).set_pkce_challenge(challenge).url();

        // The renter is sent to the server, signs in, reads, and agrees.
        let browser = Browser::new(app);
        let path = address.as_str().strip_prefix(PUBLIC_URL).unwrap();
        let page = browser.get(path).await.must(200);
        let sent = browser.fill_in(&page, &home.renter.email, PASSWORD).await.must(303);
        let consent = browser.get(sent.header("location").unwrap()).await.must(200);
        for words in ["Rent Ledger", "registered by", "Person 2", "Person 1", "Move your money", "ledger.example.com"] {
            assert!(consent.text.contains(words), "{words} is not in {}", consent.text);
        }
        assert!(!consent.text.contains("See your payments"));
        let sent = browser.submit(&consent, 1, &[("decision", "allow")]).await.must(303);
        let back = answer_of(&sent, CALLBACK);
        assert_eq!((back["state"].as_str(), back["iss"].as_str()), (Some(state.secret().as_str()), Some(PUBLIC_URL)));

        let code = AuthorizationCode::new(back["code"].as_str().unwrap().to_owned());
        let tokens = client.exchange_code(code).set_pkce_verifier(verifier).request_async(&http).await.unwrap();
        assert_eq!(tokens.scopes(), Some(&scopes.to_vec()));
        assert_eq!(tokens.expires_in().unwrap().as_secs(), 900);

        // It does what was agreed to, for the renter, and nothing else; histories say so.
        let program = acting(app, tokens.access_token());
        program.get(&format!("/api/v1/leases/{}", home.lease)).await.must(200);
        program.get("/api/v1/users/me").await.refuses(403, "insufficient_scope");
        program.get("/api/v1/api-keys/").await.refuses(403, "closed_to_oauth");
        program.get(AUTHORIZATIONS).await.refuses(403, "closed_to_oauth");
        let payment = program.pay("rent", &home.rent("1.00")).await.must(201);
        assert_eq!(payment["initiated_by"], home.renter.id);
        let history = home.landlord.history(&payment.id()).await;
        let by_program = json!({"type": "USER", "id": home.renter.id, "name": "Person 1", "oauth_client_id": id});
        assert_eq!(history["events"][0]["actor"], by_program);
        let mails = app.mails(&home.renter.email, "A program may act for you", 1).await;
        assert!(mails[0].contains("leases:read\r\npayments:write") && mails[0].contains("/programs"), "{}", mails[0]);

        let known = client.introspect(tokens.access_token()).request_async(&http).await.unwrap();
        assert!(known.active());
        assert_eq!((known.sub(), known.client_id().unwrap().as_str()), (Some(home.renter.id.as_str()), id.as_str()));

        // A refresh token is good once; the second time all is over.
        let first = tokens.refresh_token().unwrap().clone();
        let renewed = client.exchange_refresh_token(&first).request_async(&http).await.unwrap();
        acting(app, renewed.access_token()).get("/api/v1/leases/").await.must(200);
        program.get("/api/v1/leases/").await.must(200);
        let refusal = client.exchange_refresh_token(&first).request_async(&http).await.unwrap_err();
        assert!(
            matches!(refusal, RequestTokenError::ServerResponse(problem) if problem.error().as_ref() == "invalid_grant")
        );
        for token in [tokens.access_token(), renewed.access_token()] {
            acting(app, token).get("/api/v1/leases/").await.refuses(401, "invalid_token");
            assert!(!client.introspect(token).request_async(&http).await.unwrap().active());
        }
        let last: RefreshToken = renewed.refresh_token().unwrap().clone();
        client.exchange_refresh_token(&last).request_async(&http).await.unwrap_err();
        assert!(home.renter.get(AUTHORIZATIONS).await.must(200).rows().is_empty());

        // By its own credentials it acts for its owner.
        let own = client.exchange_client_credentials().add_scope(Scope::new("leases:read".to_owned()));
        let own = own.request_async(&http).await.unwrap();
        assert!(own.refresh_token().is_none());
        let itself = acting(app, own.access_token());
        itself.get("/api/v1/leases/").await.must(200);
        itself.get(&format!("/api/v1/leases/{}", home.lease)).await.refuses(404, "not_found");
        itself.pay("own", &home.rent("1.00")).await.refuses(403, "insufficient_scope");
        let token: StandardRevocableToken = own.access_token().clone().into();
        client.revoke_token(token).unwrap().request_async(&http).await.unwrap();
        itself.get("/api/v1/leases/").await.refuses(401, "invalid_token");
        assert_eq!(itself.get("/api/v1/leases/").await["errors"], Value::Array(Vec::new()));
    });
}
