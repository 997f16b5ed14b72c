module github.com/whereto/whereto

go 1.26
