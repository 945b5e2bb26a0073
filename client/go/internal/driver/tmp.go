package main

import "context"

type workerRun struct{}

func (d *driver) worker(context.Context, *command) (any, error)     { return nil, unsupported("later") }
func (d *driver) stopWorker(context.Context, *command) (any, error) { return nil, unsupported("later") }
func (d *driver) release(context.Context, *command) (any, error)    { return nil, unsupported("later") }
