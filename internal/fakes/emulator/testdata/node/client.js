// Makes every call that the emulator serves with azure-devops-node-api, and prints
// what came back as one JSON object. From the environment: ORGANIZATION_URL,
// ACCESS_TOKEN (of Entra).
const assert = require("node:assert");
const azdev = require("azure-devops-node-api");

const organization = process.env.ORGANIZATION_URL;
const version = "7.1-preview.1";
const area = "tokens";
const pats = "55967393-20ef-45c6-a96c-b5d5d5986a9a";

// refused is the status with which a call fails.
async function refused(call) {
  try {
    await call();
  } catch (error) {
    return error.statusCode;
  }
  assert.fail("the call was not refused");
}

async function main() {
  const result = {};
  const user = new azdev.WebApi(organization, azdev.getHandlerFromToken(process.env.ACCESS_TOKEN));
  result.user = (await user.connect()).authenticatedUser.id;

  // There is no client for the PAT API, but what the others are made of.
  async function request(method, query, body) {
    const { requestUrl, apiVersion } = await user.vsoClient.getVersioningData(version, area, pats, {}, query);
    const options = { acceptHeader: "application/json;api-version=" + apiVersion };
    return body ? user.rest[method](requestUrl, body, options) : user.rest[method](requestUrl, options);
  }
  const validTo = new Date(Date.parse(process.env.NOW) + 3600e3).toISOString();
  const created = (await request("create", undefined, { displayName: "node", scope: "vso.project", validTo, allOrgs: false })).result;
  assert.strictEqual(created.patTokenError, "none");
  result.created = created.patToken;
  const authorizationId = created.patToken.authorizationId;
  result.got = (await request("get", { authorizationId })).result.patToken;
  result.listed = (await request("get", { displayFilterOption: "active" })).result.patTokens;
  result.updated = (await request("replace", undefined, { authorizationId, displayName: "node 2", scope: "vso.project", validTo, allOrgs: false })).result.patToken;

  // Use the new PAT as the tool that receives it would.
  const handler = azdev.getHandlerFromToken(created.patToken.token);
  result.handler = handler.constructor.name;
  const job = new azdev.WebApi(organization, handler);
  result.patUser = (await job.connect()).authenticatedUser.id;
  const locations = await job.getLocationsApi();
  result.connection = (await locations.getConnectionData()).instanceId;
  const core = await job.getCoreApi();
  result.projects = (await core.getProjects()).map((p) => p.name);

  result.revoked = (await request("del", { authorizationId })).statusCode;
  result.afterwards = await refused(() => job.connect());
  result.unknown = await refused(() => new azdev.WebApi(organization, azdev.getPersonalAccessTokenHandler("x".repeat(52))).connect());
  console.log(JSON.stringify(result));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
