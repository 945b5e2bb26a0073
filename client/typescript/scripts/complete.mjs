// The last step of the build: fetches what stands elsewhere in the checkout, gRPC's service config and the license, and holds
// the version that this package tells servers to that of package.json.
import { copyFileSync, readFileSync } from "node:fs";

const dist = new URL("../dist/", import.meta.url);
copyFileSync(new URL("../../service_config.json", import.meta.url), new URL("service_config.json", dist));
copyFileSync(new URL("../../../LICENSE", import.meta.url), new URL("../LICENSE", import.meta.url));

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const { VERSION } = await import(new URL("version.js", dist));
if (VERSION !== version) {
  throw new Error(`src/version.ts says ${VERSION}, package.json says ${version}: make them one`);
}
