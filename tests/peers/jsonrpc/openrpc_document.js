// Holds an OpenRPC document (a file) against the meta-schema of OpenRPC's own package; prints whether it is valid.
"use strict";
const fs = require("node:fs");
const Ajv = require("ajv");
const { openrpcDocument } = require("@open-rpc/meta-schema");
const { jsonSchema } = require("@json-schema-tools/meta-schema");

// Both say `$schema` of a kind that ajv doesn't know, and one is referred to with and without a slash at its end.
const HOME = "https://meta.json-schema.tools/";
const plain = (schema) => {
  const copy = JSON.parse(JSON.stringify(schema).replaceAll(HOME.slice(0, -1) + '"', HOME + '"'));
  delete copy.$schema;
  return copy;
};
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ ...plain(jsonSchema), $id: HOME });
const validate = ajv.compile(plain(openrpcDocument));
const document = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const valid = validate(document);
const errors = (validate.errors ?? []).slice(0, 5);
document.methods[0].params[0].schema = 5;
console.log(JSON.stringify({ valid, errors, refusesNonsense: !validate(document) }));
