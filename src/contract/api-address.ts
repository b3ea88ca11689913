/** The environment that an address without `/env/NAME` means. It exists from the start, and stays. */
export const DEFAULT_ENVIRONMENT = 'default'

/** Address of the API of a control plane, for one environment or the default one. Slashes at the end of the URL are dropped. */
export function apiAddress({ url, environment }: { readonly url: string; readonly environment?: string | undefined }): string {
  return `${url.replace(/\/+$/, '')}${environment === undefined ? '' : `/env/${encodeURIComponent(environment)}`}/api/v1`
}
