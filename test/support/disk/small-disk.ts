import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** Why there can't be one here, for `skip`. */
export const noSmallDisk = process.platform !== 'linux' || process.getuid?.() !== 0 || !mounts()
  ? 'only root on Linux can mount a small disk' as const
  : false

/** A file system of its own in memory, `size` bytes and `inodes` files large, with an empty directory on it; it ends with the test. */
export async function mountSmallDisk (t: Test, { size, inodes }: { size: number, inodes: number }) {
  const mountPoint = mkdtempSync(join(tmpdir(), 'fastify-b2-uploads-disk-'))
  mount(mountPoint, `size=${size},nr_inodes=${inodes}`)
  t.teardown(() => unmount(mountPoint))
  const dir = join(mountPoint, 'storage')
  await mkdir(dir)
  let fillers = 0
  return {
    dir,
    /** Makes files elsewhere on the disk until no other can be made. */
    async useAllInodes () {
      while ((await statfs(mountPoint)).ffree > 0) await writeFile(join(mountPoint, String(++fillers)), '')
    },
    async giveInodeBack () {
      await rm(join(mountPoint, String(fillers--)))
    },
    /** Fills the disk from elsewhere until `left` bytes (of whole pages) are free. */
    async useBytes (left = 0) {
      await writeFile(join(mountPoint, 'filler'), Buffer.alloc(await free() - left))
    },
    free,
  }

  async function free (): Promise<number> {
    const { bavail, bsize } = await statfs(mountPoint)
    return bavail * bsize
  }
}

function mounts (): boolean {
  const mountPoint = mkdtempSync(join(tmpdir(), 'fastify-b2-uploads-disk-'))
  try {
    mount(mountPoint, 'size=4096')
  } catch {
    rmdirSync(mountPoint)
    return false
  }
  unmount(mountPoint)
  return true
}

function mount (mountPoint: string, options: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'fastify-b2-uploads', mountPoint], { stdio: 'ignore' })
}

function unmount (mountPoint: string): void {
  execFileSync('umount', ['-l', mountPoint])
  rmdirSync(mountPoint)
}
