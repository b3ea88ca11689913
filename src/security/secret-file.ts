import { readFile, stat } from 'node:fs/promises'
import { messageOf, SlipwayError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'

/** Mode bits: readable by the group or by everybody. */
const READ_BY_OTHERS = 0o044

/**
 * Reads a file that holds secrets, and warns where others than its owner could read it too.
 * @param setting name of the setting with the path, e.g. `apiKeysFile`
 * @throws SLW_CONFIG_INVALID naming the setting and the file
 */
export async function readSecretFile(setting: string, path: string, log: Logger): Promise<string> {
  try {
    const text = await readFile(path, 'utf8')
    const { mode } = await stat(path)
    // Windows has no such bits.
    if (process.platform !== 'win32' && (mode & READ_BY_OTHERS) !== 0)
      log.warn({ file: path }, `${setting} ${path} can be read by others than its owner: chmod 600 ${path}`)
    return text
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${setting} ${path} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}
