/**
 * What signatures of models and of images have in common: a Statement v1 of in-toto in an envelope of DSSE, in a bundle of Sigstore.
 * Formats: https://github.com/secure-systems-lab/dsse (protocol 1.0.0), https://github.com/in-toto/attestation (spec/v1).
 */
export const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
export const PAYLOAD_TYPE = 'application/vnd.in-toto+json'
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1'

/** "PAE" of DSSE: the bytes that are signed, which include the type, so that it cannot be taken for another. */
export function preAuthenticated(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `), payload])
}
