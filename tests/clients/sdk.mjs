// The published SDK for builders, unchanged.
import assert from "node:assert/strict";
import { PmtHouseClient } from "@pymthouse/builder-sdk";

const { TOLLGATE: origin, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, API_KEY: apiKey } = process.env;
const client = new PmtHouseClient({
  issuerUrl: `${origin}/api/v1/oidc`,
  publicClientId: clientId,
  m2mClientId: clientId,
  m2mClientSecret: clientSecret,
  allowInsecureHttp: true,
});

const discovery = await client.getDiscovery();
assert.equal(discovery.issuer, `${origin}/api/v1/oidc`);
const user = await client.upsertAppUser({ externalUserId: "sdk-ann", email: "ann@example.org" });
assert.equal(user.externalUserId, "sdk-ann");
const listed = await client.listAppUsers();
assert.ok(listed.users.some((each) => each.externalUserId === "sdk-ann"));
const token = await client.mintUserAccessToken({ externalUserId: "sdk-ann", scope: "sign:job" });
assert.equal(token.subject_type, "app_user");
assert.equal(token.expires_in, 900);
const machine = await client.issueMachineAccessToken("sign:job");
assert.equal(machine.scope, "sign:job");
const exchanged = await client.exchangeApiKeyForUserAccessToken({ apiKey, scope: "sign:job" });
assert.ok(exchanged.access_token.split(".").length === 3);
const usage = await client.getUsage({ groupBy: "user" });
assert.equal(usage.clientId, clientId);
assert.ok(usage.byUser.every((each) => BigInt(each.feeWei) >= 0n));
const paid = await client.mintUserAccessToken({ externalUserId: "sdk-ann", scope: "inference" });
for (const model of ["sdk-a", "sdk-b", "sdk-b"]) {
  const sent = await fetch(`${origin}/text-to-image`, {
    method: "POST",
    headers: { authorization: `Bearer ${paid.access_token}`, "content-type": "application/json" },
    body: JSON.stringify({ model_id: model, prompt: "p" }),
  });
  assert.equal(sent.status, 200, await sent.text());
}
let own, counted;
do {
  own = await client.fetchEndUserUsage({ accessToken: paid.access_token, externalUserId: "sdk-ann" });
  const { requestCount, pipelineModels, dailyByPipeline } = own.currentUser;
  counted = [[{ requestCount }], pipelineModels, dailyByPipeline];
} while (counted.some((rows) => rows.reduce((sum, each) => sum + each.requestCount, 0) < 3)); // events come later
const models = own.currentUser.pipelineModels.map((each) => [each.pipeline, each.modelId, each.requestCount]);
assert.deepEqual(models, [["text-to-image", "sdk-a", 1], ["text-to-image", "sdk-b", 2]]);
for (const groupBy of ["pipeline_model", "daily_pipeline", "none"]) {
  const grouped = await client.getUsage({ groupBy, userId: "sdk-ann", includeRetail: true });
  assert.equal(grouped.totals.requestCount, 3);
  const rows = grouped.byPipelineModel ?? grouped.byDailyPipeline;
  if (groupBy === "none") {
    assert.equal(rows, null);
    continue;
  }
  const fees = rows.reduce((sum, each) => sum + BigInt(each.feeWei), 0n);
  assert.equal(fees, BigInt(grouped.totals.totalFeeWei));
  assert.deepEqual(rows.map((each) => each.requestCount), [1, 2]);
  assert.ok(groupBy === "pipeline_model" || rows.every((each) => /^\d{4}-\d\d-\d\d$/.test(each.date)));
}
assert.deepEqual(own.currentUser.dailyByPipeline.map((each) => each.requestCount), [1, 2]);
await client.deleteAppUser({ externalUserId: "sdk-ann" });
await assert.rejects(client.mintUserAccessToken({ externalUserId: "sdk-ann" }), (error) => error.status === 403);
console.log("sdk ok");
