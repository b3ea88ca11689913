/** The token of an `Authorization: Bearer TOKEN` header (RFC 6750, section 2.1); undefined for another scheme and for none. */
export function bearerOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined
  return /^bearer +(\S+) *$/i.exec(authorization)?.[1]
}
