module regent/images/pause

go 1.25.0
