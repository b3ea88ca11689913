import { eachFile } from './tree.ts'
import type { ImageConfig } from '../oci.ts'
import type { ReadImage } from './read-image.ts'
import type { Folder } from './tree.ts'

/** What is better otherwise in an image that runs where others do. */
export interface ImageWarning {
  readonly code: 'root-user' | 'secret-in-environment' | 'setuid' | 'file-capabilities' | 'world-writable' | 'latest-tag' | 'device'
  readonly message: string
  /** What it is about, at most ten of them. */
  readonly paths?: readonly string[]
}

const SHOWN = 10
const SETUID = 0o4000
const SETGID = 0o2000
const STICKY = 0o1000
const OTHERS_WRITE = 0o002
/** Parts of names of variables that hold what nobody else may know. */
const SECRET_NAME = /(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|CONNECTION_STRING)(_|$)/i
/** Variables that say where a secret lies, and are none. */
const PLACE_NAME = /(_FILE|_PATH|_DIR|_URL)$/i

/** @param tag of the reference by which the image was asked for, `undefined` where it was by its digest or from a folder without one */
export function warningsOf({ image, tree }: Pick<ReadImage, 'image' | 'tree'>, tag: string | undefined): ImageWarning[] {
  const { config } = image
  const found: ImageWarning[] = []
  if (runsAsRoot(config))
    found.push({
      code: 'root-user',
      message: `runs as ${config.config?.User === undefined || config.config.User === '' ? 'root, as no user is named' : `the user "${config.config.User}", which is root`}; give it another, by its number, such as 65532:65532`,
    })
  for (const variable of config.config?.Env ?? []) {
    const [name = '', ...value] = variable.split('=')
    if (isSecretName(name) && value.join('=') !== '')
      found.push({
        code: 'secret-in-environment',
        message: `the variable ${name} has a value in the configuration, which everybody can read who may pull the image; give it to the container instead`,
      })
  }
  const lists = { setuid: [] as string[], capabilities: [] as string[], writable: [] as string[], devices: [] as string[] }
  eachFile(tree.root, (path, { type, mode, attributes }) => {
    if (type === 'character device' || type === 'block device') lists.devices.push(path)
    if (type !== 'file') return
    if ((mode & (SETUID | SETGID)) !== 0) lists.setuid.push(path)
    if ((mode & OTHERS_WRITE) !== 0) lists.writable.push(path)
    if (attributes.includes('security.capability')) lists.capabilities.push(path)
  })
  eachFolder(tree.root, (path, { mode }) => {
    if ((mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0) lists.writable.push(`${path}/`)
  })
  const add = (code: ImageWarning['code'], paths: readonly string[], what: string): void => {
    if (paths.length > 0) found.push({ code, message: `${what} (${paths.length})`, paths: paths.slice(0, SHOWN) })
  }
  add(
    'setuid',
    lists.setuid,
    'setuid and setgid: files that run as their owner or group, whoever starts them; take the bits away (chmod a-s) where nobody needs them',
  )
  add('file-capabilities', lists.capabilities, 'files that get rights of root when they are started')
  add('world-writable', lists.writable, 'files and folders that everybody in the container can write')
  add('device', lists.devices, 'devices, of which a container gets its own')
  if (tag === 'latest')
    found.push({ code: 'latest-tag', message: 'the tag "latest" is another image tomorrow; deploy by a version, or by the digest' })
  return found
}

/** Whether a variable of that name holds what nobody else may know. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name) && !PLACE_NAME.test(name)
}

/** Whether the user is root, by number or name. */
function runsAsRoot({ config }: ImageConfig): boolean {
  const [user = ''] = (config?.User ?? '').split(':')
  return user === '' || user === 'root' || /^0+$/.test(user)
}

function eachFolder(folder: Folder, visit: (path: string, folder: Folder) => void, path = ''): void {
  for (const [name, { folder: child }] of folder.children) {
    if (child === undefined) continue
    visit(path + name, child)
    eachFolder(child, visit, `${path}${name}/`)
  }
}
