// An OpenID Connect provider: prints its issuer, takes any user name, and changes its signing key on POST /rotate.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import http from "node:http";
import Provider from "oidc-provider";

const [redirectUri] = process.argv.slice(2);

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
}

function provider(issuer) {
  return new Provider(issuer, {
    clients: [
      {
        client_id: "aurora",
        client_secret: "a secret: of/the+client",
        redirect_uris: [redirectUri],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
    ],
    jwks: { keys: [signingKey()] },
    cookies: { keys: ["for tests only"] },
    pkce: { required: () => true },
    conformIdTokenClaims: false,
    scopes: ["openid", "profile", "email", "groups"],
    claims: {
      openid: ["sub"],
      profile: ["name", "preferred_username"],
      email: ["email", "email_verified"],
      groups: ["groups"],
    },
    async findAccount(_context, id) {
      return {
        accountId: id,
        async claims() {
          return {
            sub: id,
            name: `Person ${id}`,
            preferred_username: id,
            email: `${id}@example.org`,
            email_verified: true,
            groups: id.startsWith("lead") ? ["soc-leads", "everybody"] : ["everybody"],
          };
        },
      };
    },
  });
}

let handler;
const server = http.createServer((request, response) => {
  if (request.method === "POST" && request.url === "/rotate") {
    // Grants live in a store that every instance shares; only the key is another.
    handler = provider(issuer()).callback();
    response.end("rotated");
    return;
  }
  handler(request, response);
});
const issuer = () => `http://127.0.0.1:${server.address().port}`;
server.listen(0, "127.0.0.1", () => {
  handler = provider(issuer()).callback();
  process.stdout.write(`${JSON.stringify({ url: issuer() })}\n`);
});
