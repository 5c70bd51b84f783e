// openid-client, and the oauth4webapi inside it, which are certified by the OpenID Foundation.
import assert from "node:assert/strict";
import * as openid from "openid-client";

const { TOLLGATE: origin, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, API_KEY: apiKey } = process.env;
const issuer = new URL(`${origin}/api/v1/oidc`);

for (const authentication of [openid.ClientSecretBasic, openid.ClientSecretPost]) {
  const config = await openid.discovery(issuer, clientId, undefined, authentication(clientSecret), {
    execute: [openid.allowInsecureRequests],
  });
  assert.equal(config.serverMetadata().issuer, issuer.href);
  const token = await openid.clientCredentialsGrant(config, { scope: "read" });
  assert.ok(token.expiresIn() > 3500 && token.expiresIn() <= 3600); // a second may have passed since
  const exchanged = await openid.genericGrantRequest(config, "urn:ietf:params:oauth:grant-type:token-exchange", {
    subject_token: apiKey,
    subject_token_type: "urn:pymthouse:oauth:token-type:api_key",
    scope: "inference",
  });
  const before = await openid.tokenIntrospection(config, exchanged.access_token);
  assert.deepEqual([before.active, before.scope], [true, "inference"]);
  await openid.tokenRevocation(config, exchanged.access_token);
  const deadline = Date.now() + 5000;
  while ((await openid.tokenIntrospection(config, exchanged.access_token)).active) {
    assert.ok(Date.now() < deadline, "a revoked token is still active");
  }
  await assert.rejects(
    openid.clientCredentialsGrant(config, { scope: "root" }),
    (error) => error.error === "invalid_scope" && error.status === 400,
  );
}
const stranger = await openid.discovery(issuer, clientId, undefined, openid.ClientSecretBasic("tgs_wrong"), {
  execute: [openid.allowInsecureRequests],
});
await assert.rejects(
  openid.clientCredentialsGrant(stranger),
  (error) => error.status === 401 && error.cause[0].scheme === "basic",
);
console.log("openid ok");
