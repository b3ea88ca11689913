/** Origin under which a socket is reached, such as `https://[::1]:8470`. */
export function originOf({ secure, host, port }: { readonly secure: boolean; readonly host: string; readonly port: number }): string {
  return `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}
