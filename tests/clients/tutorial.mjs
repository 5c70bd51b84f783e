// Livepeer's tutorial for builders, as its pages state it: what it sends, and what it relies on.
import assert from "node:assert/strict";

const { TOLLGATE: origin, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret } = process.env;

async function json(response) {
  assert.ok(response.ok, `${response.status} ${await response.clone().text()}`);
  return response.json();
}

async function clientToken(scope) {
  const { access_token, expires_in } = await json(
    await fetch(`${origin}/api/v1/oidc/token`, {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({
        grant_type: "client_credentials",
        client_id: clientId,
        client_secret: clientSecret,
        scope,
      }),
    }),
  );
  assert.equal(typeof access_token, "string");
  assert.equal(typeof expires_in, "number");
  assert.ok(expires_in > 60, "a cache would fetch a token for each call");
  return access_token;
}

function post(path, token, body) {
  return fetch(`${origin}${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
}

const admin = await clientToken("admin");
const users = `/api/v1/apps/${clientId}/users`;
const user = await json(await post(users, admin, { external_id: "tutorial-ann", email: "ann@old.example" }));
const again = await json(await post(users, admin, { external_id: "tutorial-ann", email: "ann@new.example" }));
assert.equal(again.user_id, user.user_id);
assert.equal(again.external_id, "tutorial-ann");
await json(await post(users, admin, { external_id: "tutorial-idle", email: "idle@example.org" }));

// The id goes into the path as it is.
const token = await json(await post(`${users}/${user.user_id}/token`, admin, { scope: "inference" }));
assert.ok(token.expires_in <= 3600);
const image = await json(
  await post("/api/v1/inference/text-to-image", token.access_token, {
    model_id: "stabilityai/sdxl-turbo",
    prompt: "a toll gate",
    width: 64,
    height: 64,
  }),
);
assert.equal(image.images.length, 1);
assert.equal((await post(`${users}/usr_unknown/token`, admin, { scope: "inference" })).status, 403);
assert.equal((await post("/api/v1/inference/text-to-image", `${token.access_token}x`, {})).status, 401);

const read = await clientToken("read");
const usage = await json(
  await fetch(`${origin}/api/v1/apps/${clientId}/usage`, { headers: { Authorization: `Bearer ${read}` } }),
);
const found = usage.users.map((u) => [u.external_id, u.email, BigInt(u.total_wei), u.request_count, u.last_used_at]);
const ann = found.find((row) => row[0] === "tutorial-ann");
assert.equal(ann[1], "ann@new.example");
const idle = found.find((row) => row[0] === "tutorial-idle");
assert.deepEqual(idle.slice(2), [0n, 0, ""]);

const discovery = await json(await fetch(`${origin}/.well-known/openid-configuration`));
assert.equal(discovery.token_endpoint, `${origin}/api/v1/oidc/token`);
console.log("tutorial ok");
