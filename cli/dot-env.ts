import { loadEnvFile } from 'node:process'

/** Adds what `.env` in the working directory sets to the environment, where there is one; not in production. */
export function loadDotEnv (): void {
  if (process.env['ENV'] === 'production' || process.env['NODE_ENV'] === 'production') return
  try {
    loadEnvFile()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
