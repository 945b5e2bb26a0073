"""The driver of the conformance runner for both APIs; its protocol stands in client/conformance/DRIVER.md."""
