/** What describes a package, where somebody has written it. */
export const PACKAGE_FILE = 'slipway.yaml'
