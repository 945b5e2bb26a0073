// The last step of the build: puts gRPC's service config, which stands beside the clients for all of them, into `dist`,
// and holds the version that this package tells servers to that of package.json.
import { copyFileSync, readFileSync } from "node:fs";

const dist = new URL("../dist/", import.meta.url);
copyFileSync(new URL("../../service_config.json", import.meta.url), new URL("service_config.json", dist));

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const { VERSION } = await import(new URL("version.js", dist));
if (VERSION !== version) {
  throw new Error(`src/version.ts says ${VERSION}, package.json says ${version}: make them one`);
}
