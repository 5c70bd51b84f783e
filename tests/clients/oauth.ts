// oauth4webapi by itself: discovery, client credentials, exchange, introspection, revocation, and access tokens as a
// resource server verifies them (RFC 9068).
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import { check, env } from "./checks.js";

const issuer = new URL(`${env("TOLLGATE")}/api/v1/oidc`);
const client: oauth.Client = { client_id: env("CLIENT_ID") };
const insecure = { [oauth.allowInsecureRequests]: true };
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));

async function clientToken(method: oauth.ClientAuth, scope: string): Promise<oauth.TokenEndpointResponse> {
  const response = await oauth.clientCredentialsGrantRequest(server, client, method, { scope }, insecure);
  return oauth.processClientCredentialsResponse(server, client, response);
}

for (const [name, authentication] of Object.entries({ oauth: oauth.ClientSecretBasic, post: oauth.ClientSecretPost })) {
  const method = authentication(env("CLIENT_SECRET"));
  await check(`${name}: client credentials`, async () => {
    assert.equal((await clientToken(method, "read")).scope, "read");
  });
  await check(`${name}: exchange, introspection, revocation`, async () => {
    const parameters = {
      subject_token: env("API_KEY"),
      subject_token_type: "urn:pymthouse:oauth:token-type:api_key",
      scope: "inference",
    };
    const sent = await oauth.genericTokenEndpointRequest(server, client, method, EXCHANGE, parameters, insecure);
    const { access_token: token } = await oauth.processGenericTokenEndpointResponse(server, client, sent);
    const inspected = async () =>
      oauth.processIntrospectionResponse(
        server,
        client,
        await oauth.introspectionRequest(server, client, method, token, insecure),
      );
    const before = await inspected();
    assert.deepEqual([before.active, before.scope, before.client_id], [true, "inference", client.client_id]);
    await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, method, token, insecure));
    const deadline = Date.now() + 5000;
    while ((await inspected()).active) assert.ok(Date.now() < deadline, "a revoked token is still active");
  });
  await check(`${name}: a resource server accepts the token, and not with another audience`, async () => {
    const { access_token: token } = await clientToken(method, "admin");
    const request = () =>
      new Request("https://api.example/", { headers: { Authorization: `Bearer ${token}` } });
    const found = await oauth.validateJwtAccessToken(server, request(), issuer.href, insecure);
    assert.deepEqual([found.sub, found.client_id, found["scope"]], [client.client_id, client.client_id, "admin"]);
    await assert.rejects(oauth.validateJwtAccessToken(server, request(), "https://api.example", insecure));
  });
}
await check("a wrong secret is a challenge", async () => {
  await assert.rejects(clientToken(oauth.ClientSecretBasic("tgs_wrong"), "read"), oauth.WWWAuthenticateChallengeError);
});
await check("a scope that does not exist is an error of OAuth", async () => {
  await assert.rejects(
    clientToken(oauth.ClientSecretPost(env("CLIENT_SECRET")), "root"),
    (error) => error instanceof oauth.ResponseBodyError && error.error === "invalid_scope",
  );
});
console.log("oauth ok");
