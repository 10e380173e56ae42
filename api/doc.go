// Package api is the admin API: openapi.yaml is the contract, the server is
// generated from it, and the handlers turn requests into calls of the domain.
package api

//go:generate go tool oapi-codegen -config oapi-codegen.yaml openapi.yaml
