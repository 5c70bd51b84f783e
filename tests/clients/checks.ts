// Named checks: each prints its name once it holds, and the first that does not ends the process with an error.
import assert from "node:assert/strict";

export function env(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

export async function check(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new Error(`not held: ${name}`, { cause: error });
  }
  console.log(`held: ${name}`);
}

export async function ok<T>(response: Response): Promise<T> {
  assert.ok(response.ok, `${response.status} ${await response.clone().text()}`);
  return (await response.json()) as T;
}
