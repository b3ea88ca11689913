/** Where the API of a control plane lies, of one environment or of its first. */
export function apiAddress({ url, environment }: { readonly url: string; readonly environment?: string | undefined }): string {
  return `${url}${environment === undefined ? '' : `/env/${encodeURIComponent(environment)}`}/api/v1`
}
