import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** An authority that signs certificates, with openssl. */
export interface Authority {
  /** Path of its own certificate. */
  readonly cert: string
  /** Paths of a new certificate for this machine and its key; -1 `days` is expired, `extensions` are further lines for openssl. */
  issue(name: string, days?: number, extensions?: readonly string[]): Promise<{ readonly cert: string; readonly key: string }>
}

/** @throws where there is no openssl: what it makes cannot be made up */
export async function authority(folder: string, name = 'authority'): Promise<Authority> {
  const openssl = async (...args: readonly string[]): Promise<void> => {
    await run('openssl', args, { cwd: folder }).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new Error('openssl is needed for this test; on Debian and Ubuntu: apt-get install openssl') : error
    })
  }
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const path = (file: string): string => join(folder, file)
  await openssl('req', '-x509', ...curve, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/CN=${name}`, '-days', '2')
  return {
    cert: path(`${name}.pem`),
    async issue(subject, days = 2, extensions = []) {
      const lines = ['subjectAltName=DNS:localhost,IP:127.0.0.1', 'basicConstraints=critical,CA:FALSE', ...extensions]
      await writeFile(path(`${subject}.extensions`), lines.map((line) => `${line}\n`).join(''))
      await openssl('req', '-new', ...curve, '-keyout', `${subject}.key`, '-out', `${subject}.csr`, '-subj', `/CN=${subject}`)
      const signing = ['-CA', `${name}.pem`, '-CAkey', `${name}.key`, '-CAcreateserial', '-extfile', `${subject}.extensions`]
      await openssl('x509', '-req', '-in', `${subject}.csr`, ...signing, '-days', String(days), '-out', `${subject}.pem`)
      return { cert: path(`${subject}.pem`), key: path(`${subject}.key`) }
    },
  }
}
