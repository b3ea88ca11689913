/** `https://[::1]:8470`: by what a socket is reached. */
export function originOf({ secure, host, port }: { readonly secure: boolean; readonly host: string; readonly port: number }): string {
  return `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}
