// The client of Livepeer's tutorial for builders: what its pages send, and the members that they rely on.
import { ok } from "./checks.js";

export interface Token {
  access_token: string;
  expires_in: number;
  [member: string]: unknown;
}

export interface User {
  user_id: string;
  external_id: string;
  [member: string]: unknown;
}

export interface UsageRow {
  user_id: string;
  external_id: string;
  email: string;
  total_wei: string;
  request_count: number;
  last_used_at: string;
}

export interface Problem {
  error: string;
  error_description: string;
  code: string;
  correlation_id: string;
}

export interface Discovery {
  issuer: string;
  token_endpoint: string;
  jwks_uri: string;
  [member: string]: unknown;
}

export class Builder {
  private cached: { token: string; until: number } | undefined;
  tokensFetched = 0;

  constructor(
    readonly origin: string,
    readonly clientId: string,
    private readonly secret: string,
  ) {}

  tokenRequest(scope: string, secret = this.secret, headers?: Record<string, string>): Promise<Response> {
    this.tokensFetched += 1;
    return fetch(`${this.origin}/api/v1/oidc/token`, {
      method: "POST",
      ...(headers ? { headers } : {}),
      body: new URLSearchParams({
        grant_type: "client_credentials",
        client_id: this.clientId,
        client_secret: secret,
        scope,
      }),
    });
  }

  async admin(): Promise<string> {
    if (this.cached && this.cached.until - Date.now() > 60_000) return this.cached.token;
    const token = await ok<Token>(await this.tokenRequest("admin"));
    this.cached = { token: token.access_token, until: Date.now() + token.expires_in * 1000 };
    return token.access_token;
  }

  async read(): Promise<string> {
    return (await ok<Token>(await this.tokenRequest("read"))).access_token;
  }

  send(path: string, token: string, body: unknown): Promise<Response> {
    return fetch(`${this.origin}${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
  }

  upsert(token: string, external_id: string, email: string): Promise<Response> {
    return this.send(`/api/v1/apps/${this.clientId}/users`, token, { external_id, email });
  }

  mint(token: string, userId: string): Promise<Response> {
    // The id goes into the path as it is.
    return this.send(`/api/v1/apps/${this.clientId}/users/${userId}/token`, token, { scope: "inference" });
  }

  usage(token: string): Promise<Response> {
    return fetch(`${this.origin}/api/v1/apps/${this.clientId}/usage`, {
      headers: { Authorization: `Bearer ${token}` },
    });
  }

  infer(pipeline: string, token: string, body: unknown): Promise<Response> {
    return this.send(`/api/v1/inference/${pipeline}`, token, body);
  }

  /** Provisions a user and returns its token: what the tutorial does before every image. */
  async provision(external_id: string, email = `${external_id}@example.org`): Promise<{ user: User; token: string }> {
    const admin = await this.admin();
    const user = await ok<User>(await this.upsert(admin, external_id, email));
    return { user, token: (await ok<Token>(await this.mint(admin, user.user_id))).access_token };
  }
}
