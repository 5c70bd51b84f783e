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
await client.deleteAppUser({ externalUserId: "sdk-ann" });
await assert.rejects(client.mintUserAccessToken({ externalUserId: "sdk-ann" }), (error) => error.status === 403);
console.log("sdk ok");
