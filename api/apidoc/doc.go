// Package apidoc turns an OpenAPI specification into a page that people read, and serves
// both. The page is whole in itself: no file, font or script comes from elsewhere.
package apidoc
