/** Name of the file that describes a package, where there is one. */
export const PACKAGE_FILE = 'slipway.yaml'
