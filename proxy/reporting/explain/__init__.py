"""Why a request was refused, or what it was charged and why: one document, for tenants and operators."""
