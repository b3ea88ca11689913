import { stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { PACKAGE_FILE } from '../package-file.ts'

/** Path of the file that slipway.yaml names. @throws SLW_PACKAGE_INVALID where it is outside the package, or no file */
export async function locatedByDocument(folder: string, model: string): Promise<string> {
  const path = join(folder, model)
  if (relative(folder, path).startsWith('..'))
    throw new SlipwayError('SLW_PACKAGE_INVALID', `${join(folder, PACKAGE_FILE)}: model: "${model}" is outside the package`)
  if ((await stat(path).catch(() => undefined))?.isFile() !== true)
    throw new SlipwayError('SLW_PACKAGE_INVALID', `${join(folder, PACKAGE_FILE)}: model: "${model}" is not a file of the package`)
  return path
}
