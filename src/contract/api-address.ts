/** The environment that an address without `/env/NAME` means. It is there from the start, and stays. */
export const DEFAULT_ENVIRONMENT = 'default'

/** Where the API of a control plane lies, of one environment or of its first. A slash at the end of the URL is none of it. */
export function apiAddress({ url, environment }: { readonly url: string; readonly environment?: string | undefined }): string {
  return `${url.replace(/\/+$/, '')}${environment === undefined ? '' : `/env/${encodeURIComponent(environment)}`}/api/v1`
}
