/** The version that this package tells servers; the build holds it to that of package.json. */
export const VERSION = "0.1.0";
