// A SAML identity provider: prints its address; whoever comes is signed in as ?user of the last POST /user.
import { readFileSync } from "node:fs";
import express from "express";
import samlp from "samlp";

const [keyFile, certificateFile, acsUrl, audience] = process.argv.slice(2);
const app = express();
let user = "grace";

app.post("/user/:name", (request, response) => {
  user = request.params.name;
  response.end("next");
});

const options = {
  issuer: "urn:example:idp",
  key: readFileSync(keyFile),
  cert: readFileSync(certificateFile),
  audience,
  destination: acsUrl,
  recipient: acsUrl,
  signatureAlgorithm: "rsa-sha256",
  digestAlgorithm: "sha256",
  lifetimeInSeconds: 300,
  nameIdentifierFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
  getPostURL: (_audience, _request, _http, callback) => callback(null, acsUrl),
  getUserFromRequest: () => ({
    id: user,
    displayName: `Person ${user}`,
    name: { familyName: "Person", givenName: user },
    emails: [{ value: `${user}@example.org` }],
  }),
};
app.get("/sso", samlp.auth(options));
app.get("/metadata", samlp.metadata({ ...options, redirectEndpointPath: "/sso", postEndpointPath: "/sso" }));
const server = app.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })}\n`);
});
