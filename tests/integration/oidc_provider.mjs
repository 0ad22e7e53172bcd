// SPDX-License-Identifier: GPL-3.0-or-later
//
// A service as the jwt connector meets it: the certified OpenID provider "oidc-provider" from npm, with clients that authenticate by
// assertions (private_key_jwt). Nothing here checks an assertion; the library does.
//
//   node oidc_provider.mjs --modules DIR --port PORT --cert PEM --key PEM --client FILE...
//
// DIR holds node_modules/oidc-provider (npm install --prefix DIR oidc-provider@8.8.1). Each FILE is what cb_connectors_enrol gave:
// {"subject":"<client id>","jwks":{"keys":[…]}}; it is read again when the client is asked for. The token endpoint is https://localhost:PORT/token. GET
// /who?token=… says whose token that is. Prints "ready" when it serves.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    modules: { type: 'string' },
    port: { type: 'string' },
    cert: { type: 'string' },
    key: { type: 'string' },
    client: { type: 'string', multiple: true },
  },
});
const found = createRequire(pathToFileURL(`${values.modules}/`)).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(found));
const issuer = `https://localhost:${values.port}`;

const clients = values.client.map((file) => {
  const { subject, jwks } = JSON.parse(readFileSync(file, 'utf8'));
  return {
    client_id: subject,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: jwks.keys[0].alg,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    jwks,
  };
});

const provider = new Provider(issuer, {
  clients,
  scopes: ['openid', 'taxes'],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'ES384', 'PS256', 'RS256'] },
  ttl: { ClientCredentials: 600 },
});
provider.on('server_error', (context, error) => console.error(error));
provider.on('grant.error', (context, error) => console.error(error.error, error.error_detail ?? ''));
provider.use(async (context, next) => {
  if (context.path !== '/who') return next();
  const token = await provider.ClientCredentials.find(context.query.token);
  context.body = { client: token?.clientId ?? null, scope: token?.scope ?? null };
});

createServer({ cert: readFileSync(values.cert), key: readFileSync(values.key) }, provider.callback())
  .listen(Number(values.port), '127.0.0.1', () => console.log('ready'));
