module regent/images/probe

go 1.25.0
