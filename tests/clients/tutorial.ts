// Every call of the tutorial, every meaning that it gives to an error, and every detail of its TypeScript that binds
// the server, each as a named check.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Builder, type Discovery, type Problem, type Token, type UsageRow, type User } from "./builder.js";
import { check, env, ok } from "./checks.js";

const origin = env("TOLLGATE");
const builder = new Builder(origin, env("CLIENT_ID"), env("CLIENT_SECRET"));
const other = new Builder(origin, env("OTHER_CLIENT_ID"), env("OTHER_CLIENT_SECRET"));
const poor = new Builder(origin, env("POOR_CLIENT_ID"), env("POOR_CLIENT_SECRET"));
const slow = new Builder(origin, env("SLOW_CLIENT_ID"), env("SLOW_CLIENT_SECRET"));
const image = { model_id: "stabilityai/sdxl-turbo", prompt: "a toll gate", width: 64, height: 64 };
const price = BigInt(env("PRICE"));

const claims = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const problem = async (response: Response): Promise<Problem> => (await response.json()) as Problem;
const rowOf = async (externalId: string): Promise<UsageRow | undefined> =>
  (await ok<{ users: UsageRow[] }>(await builder.usage(await builder.read()))).users.find(
    (row) => row.external_id === externalId,
  );

await check("T6: discovery needs no credential and names the endpoints", async () => {
  const found = await ok<Discovery>(await fetch(`${origin}/.well-known/openid-configuration`));
  assert.equal(found.issuer, `${origin}/api/v1/oidc`);
  assert.equal(found.token_endpoint, `${origin}/api/v1/oidc/token`);
  await ok(await fetch(found.jwks_uri));
  assert.deepEqual(await ok(await fetch(`${found.issuer}/.well-known/openid-configuration`)), found);
});
await check("T1: admin and read are granted to a confidential client", async () => {
  for (const scope of ["admin", "read"]) {
    const token = await ok<Token>(await builder.tokenRequest(scope));
    assert.equal(typeof token.access_token, "string");
    assert.equal(token["scope"], scope);
  }
});
await check("T1: expires_in is a number far above the 60 s of the cache, which then fetches one token", async () => {
  const token = await ok<Token>(await builder.tokenRequest("admin"));
  assert.equal(typeof token.expires_in, "number");
  assert.ok(token.expires_in >= 3600);
  const before = builder.tokensFetched;
  for (let times = 0; times < 5; times += 1) await builder.admin();
  assert.equal(builder.tokensFetched, before + 1);
});
await check("T1: the form's type may have parameters, as fetch sends it, or none", async () => {
  for (const headers of [undefined, { "Content-Type": "application/x-www-form-urlencoded" }]) {
    await ok(await builder.tokenRequest("read", undefined, headers));
  }
});
await check("T1: 401 for an unknown client and for a wrong secret", async () => {
  const unknown = new Builder(origin, "app_aaaaaaaaaaaaaaaa", env("CLIENT_SECRET"));
  for (const response of [await unknown.tokenRequest("admin"), await builder.tokenRequest("admin", "tgs_rotated")]) {
    assert.equal(response.status, 401);
    assert.equal((await problem(response)).error, "invalid_client");
  }
});
await check("T2: creates a user, is idempotent on external_id, and updates the email", async () => {
  const admin = await builder.admin();
  const user = await ok<User>(await builder.upsert(admin, "ann/1 %?#:", "ann@old.example"));
  const again = await ok<User>(await builder.upsert(admin, "ann/1 %?#:", "ann@new.example"));
  assert.deepEqual([again.user_id, again.external_id], [user.user_id, "ann/1 %?#:"]);
  assert.equal((await rowOf("ann/1 %?#:"))?.email, "ann@new.example");
});
await check("T2: user_id goes unescaped into a path", async () => {
  const { user } = await builder.provision("ann/1 %?#:", "ann@new.example");
  assert.match(user.user_id, /^[A-Za-z0-9_-]+$/);
});
await check("T3: a token for the user's work, for less than an hour", async () => {
  const admin = await builder.admin();
  const user = await ok<User>(await builder.upsert(admin, "bob", "bob@example.org"));
  const token = await ok<Token>(await builder.mint(admin, user.user_id));
  assert.equal(typeof token.access_token, "string");
  assert.ok(token.expires_in > 60 && token.expires_in < 3600);
});
await check("T3: 403 for a user that is not provisioned, or in another client's namespace", async () => {
  const { user } = await other.provision("theirs");
  for (const name of ["usr_unknown", user.user_id, "theirs"]) {
    assert.equal((await builder.mint(await builder.admin(), name)).status, 403, name);
  }
  assert.equal((await other.mint(await builder.admin(), user.user_id)).status, 404);
});
await check("T3: the exchange of RFC 8693 mints an equivalent token", async () => {
  const { token } = await builder.provision("bob");
  const response = await fetch(`${origin}/api/v1/oidc/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      client_id: builder.clientId,
      client_secret: env("CLIENT_SECRET"),
      subject_token: token,
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      scope: "inference",
    }),
  });
  const exchanged = (await ok<Token>(response)).access_token;
  const [one, two] = [claims(token), claims(exchanged)];
  for (const name of ["iss", "aud", "sub", "client_id", "scope", "external_user_id"]) assert.equal(two[name], one[name]);
  assert.equal(Number(two["exp"]) - Number(two["iat"]), Number(one["exp"]) - Number(one["iat"]));
  await ok(await builder.infer("text-to-image", exchanged, image));
});
await check("T4: the gateway's JSON passes through, and the body arrives byte for byte", async () => {
  const { token } = await builder.provision("carl");
  const response = await builder.infer("text-to-image", token, { ...image, seed: 7, extra: { nested: ["ü", 1e-7] } });
  const found = await ok<{ images: unknown[] }>(response.clone());
  assert.equal(found.images.length, 1);
  const sent = JSON.stringify({ ...image, seed: 7, extra: { nested: ["ü", 1e-7] } });
  console.log(`body: ${response.headers.get("x-request-id")} ${sha256(Buffer.from(sent))}`);
});
await check("T4: any pipeline, and multipart forms byte for byte", async () => {
  const { token } = await builder.provision("carl");
  await ok(await builder.infer("text-to-speech", token, { model_id: "m", text: "hello" }));
  const form = new FormData();
  form.set("model_id", "m");
  form.set("image", new Blob([Buffer.from(env("PNG"), "base64")], { type: "image/png" }), "one.png");
  const request = new Request(`${origin}/api/v1/inference/image-to-text`, { method: "POST", body: form });
  const [type, body] = [request.headers.get("content-type") ?? "", new Uint8Array(await request.arrayBuffer())];
  const headers = { "Content-Type": type, Authorization: `Bearer ${token}` };
  const response = await fetch(request.url, { method: "POST", headers, body });
  await ok(response.clone());
  console.log(`body: ${response.headers.get("x-request-id")} ${sha256(body)}`);
});
await check("T4: 401 for a token that is expired, or that was changed", async () => {
  const { token } = await builder.provision("carl");
  for (const bad of [env("EXPIRED_TOKEN"), `${token.slice(0, -2)}AA`]) {
    assert.equal((await builder.infer("text-to-image", bad, image)).status, 401);
  }
});
await check("T4: 402 where the plan refuses", async () => {
  const { token } = await poor.provision("dora");
  const response = await poor.infer("text-to-image", token, image);
  assert.equal(response.status, 402);
  assert.equal((await problem(response)).code, "insufficient_balance");
});
await check("T1 to T3 take nothing from the plan's requests per minute", async () => {
  for (let times = 0; times < 2 * Number(env("SLOW_PER_MINUTE")); times += 1) await slow.provision("eve");
  const { token } = await slow.provision("eve");
  for (let times = 0; times < Number(env("SLOW_PER_MINUTE")); times += 1) {
    await ok(await slow.infer("text-to-image", token, image));
  }
  assert.equal((await slow.infer("text-to-image", token, image)).status, 429);
});
await check("T5: money is exact wei in decimal strings, which BigInt takes", async () => {
  const { token, user } = await builder.provision("fay");
  for (let times = 0; times < 3; times += 1) await ok(await builder.infer("text-to-image", token, image));
  const deadline = Date.now() + 10_000;
  let row = await rowOf("fay");
  while (row?.request_count !== 3 && Date.now() < deadline) row = await rowOf("fay"); // settled after the response
  assert.ok(row);
  assert.deepEqual([row.user_id, row.request_count, BigInt(row.total_wei)], [user.user_id, 3, 3n * price]);
  assert.match(row.total_wei, /^(0|[1-9][0-9]*)$/);
  assert.ok(BigInt(row.total_wei) > BigInt(Number.MAX_SAFE_INTEGER));
});
await check("T5: last_used_at is ISO 8601 in UTC, and empty before the first use", async () => {
  await builder.provision("idle");
  const used = (await rowOf("fay"))?.last_used_at ?? "";
  assert.match(used, /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/);
  assert.ok(Math.abs(Date.parse(used) - Date.now()) < 2 * 86_400_000);
  const idle = await rowOf("idle");
  assert.deepEqual([idle?.total_wei, idle?.request_count, idle?.last_used_at], ["0", 0, ""]);
});
await check("T5: every row has every member, the stored email among them", async () => {
  const { users } = await ok<{ users: UsageRow[] }>(await builder.usage(await builder.read()));
  for (const row of users) {
    for (const name of ["user_id", "external_id", "email", "total_wei", "last_used_at"] as const) {
      assert.equal(typeof row[name], "string", `${row.external_id} ${name}`);
    }
    assert.equal(typeof row.request_count, "number");
    assert.ok(BigInt(row.total_wei) >= 0n);
  }
  assert.equal(users.find((row) => row.external_id === "fay")?.email, "fay@example.org");
});
await check("scopes: read mints neither users nor tokens, a user's token calls none of T2, T3, T5", async () => {
  const { user, token } = await builder.provision("gil");
  for (const [name, weak] of [["read", await builder.read()], ["inference", token]] as const) {
    assert.equal((await builder.upsert(weak, "hal", "hal@example.org")).status, 403, name);
    assert.equal((await builder.mint(weak, user.user_id)).status, 403, name);
  }
  assert.equal((await builder.usage(token)).status, 403);
  assert.equal(await rowOf("hal"), undefined);
});
await check("errors have OAuth's members, a code and a correlation id", async () => {
  const { token } = await poor.provision("dora");
  const refused = [
    await builder.tokenRequest("admin", "tgs_rotated"),
    await builder.upsert(token, "hal", "hal@example.org"),
    await builder.mint(await builder.admin(), "usr_unknown"),
    await poor.infer("text-to-image", token, image),
    await builder.usage("none"),
  ];
  for (const response of refused) {
    const found = await problem(response);
    assert.equal(found.error, found.code);
    assert.ok(found.error_description.length > 10);
    assert.equal(found.correlation_id, response.headers.get("x-request-id"));
  }
});
console.log("tutorial ok");
